//! A regex with captures over a large text, collecting and rewriting what it finds.

use std::collections::BTreeMap;

use regex::{Captures, Regex};

use crate::{Numbers, digest};

const WORDS: usize = 60_000;

pub fn run() -> u64 {
    let text = generate();
    let address = Regex::new(r"(?<user>[a-z]+)\.(?<number>\d+)@(?<host>[a-z]+\.(?:org|net))")
        .expect("a regex");
    let mut by_host: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for found in address.captures_iter(&text) {
        by_host
            .entry(found["host"].to_owned())
            .or_default()
            .push(found["user"].to_owned());
    }
    let rewritten = address.replace_all(&text, |found: &Captures<'_>| {
        format!("<{} of {}>", &found["number"], &found["host"])
    });
    assert!(by_host.len() > 100, "too few matches to tell anything");
    digest(&(by_host, rewritten))
}

fn generate() -> String {
    let mut numbers = Numbers(2);
    let mut text = String::new();
    let word = |numbers: &mut Numbers, letters: u64| -> String {
        let length = 1 + numbers.below(letters);
        (0..length)
            .map(|_| char::from(b'a' + numbers.below(26) as u8))
            .collect()
    };
    for _ in 0..WORDS {
        text.push_str(&word(&mut numbers, 12));
        if numbers.below(4) == 0 {
            let (number, host) = (numbers.below(1000), word(&mut numbers, 2));
            let end = ["org", "net", "com"][numbers.below(3) as usize];
            text.push_str(&format!(".{number}@{host}.{end}"));
        }
        text.push(if numbers.below(10) == 0 { '\n' } else { ' ' });
    }
    text
}
