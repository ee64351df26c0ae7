//! A few megabytes of JSON, read into a tree, written again both ways, and changed in between.

use std::fmt::Write;

use serde_json::Value;

use crate::{Numbers, digest};

const RECORDS: u64 = 15_000;

pub fn run() -> u64 {
    let text = generate();
    let mut tree: Value = serde_json::from_str(&text).expect("the text is JSON");
    let pretty = serde_json::to_string_pretty(&tree).expect("a tree can be written");
    let again: Value = serde_json::from_str(&pretty).expect("what was written is JSON");
    assert_eq!(tree, again);
    drop(again);
    // Holes between the survivors, then growth into them.
    let records = tree.as_array_mut().expect("the text is an array");
    let mut index = 0;
    records.retain(|_| {
        index += 1;
        index % 3 != 0
    });
    for record in records.iter_mut() {
        record["path"] = Value::String("/".repeat(1 + index % 200));
        record.as_object_mut().expect("a record").remove("tags");
    }
    let compact = serde_json::to_string(&tree).expect("a tree can be written");
    assert!(
        text.len() > 3 << 20 && pretty.len() > text.len(),
        "too small to tell anything"
    );
    digest(&(text, pretty, compact))
}

fn generate() -> String {
    let mut numbers = Numbers(1);
    let mut text = String::from("[");
    for id in 0..RECORDS {
        if id > 0 {
            text.push(',');
        }
        write!(
            text,
            r#"{{"id":{id},"ratio":{},"name":""#,
            numbers.below(1 << 30) as f64 / 1024.0
        )
        .expect("a string takes anything");
        for _ in 0..numbers.below(120) {
            text.push_str(["a", "é", "\\n", "\\u2603", "word ", "\\\""][numbers.below(6) as usize]);
        }
        text.push_str(r#"","tags":["#);
        for tag in 0..numbers.below(12) {
            write!(
                text,
                r#"{}"t{}""#,
                if tag > 0 { "," } else { "" },
                numbers.below(10_000)
            )
            .expect("a string takes anything");
        }
        text.push_str("],\"deep\":");
        let depth = numbers.below(20) as usize;
        text.push_str(&"[".repeat(depth));
        text.push_str("null");
        text.push_str(&"]".repeat(depth));
        text.push('}');
    }
    text.push(']');
    text
}
