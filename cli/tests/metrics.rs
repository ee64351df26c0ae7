//! The names, kinds and boundaries of `goheap::metrics` are those of real Go.

use std::collections::BTreeMap;
use std::fs;

use goheap::metrics::{ALL, Kind, LEFT_OUT, Value};
use goheap_cli::compare::go::Go;

/// Prints each metric of Go: its name, its kind, whether it is cumulative, and a distribution's boundaries, bit by bit.
const PROGRAM: &str = r#"
package main

import (
	"fmt"
	"math"
	"runtime/metrics"
)

func main() {
	for _, d := range metrics.All() {
		fmt.Print(d.Name, " ", d.Kind, " ", d.Cumulative)
		sample := []metrics.Sample{{Name: d.Name}}
		metrics.Read(sample)
		if d.Kind == metrics.KindFloat64Histogram {
			for _, b := range sample[0].Value.Float64Histogram().Buckets {
				fmt.Printf(" %x", math.Float64bits(b))
			}
		}
		fmt.Println()
	}
}
"#;

/// What Go says of each of its metrics below `/memory`, `/gc` and `/cgo`; `None`, with the reason printed,
/// where there is no Go.
fn of_go() -> Option<BTreeMap<String, Vec<String>>> {
    let go = match Go::find() {
        Ok(go) => go,
        Err(error) => {
            println!("skipped: {error}");
            return None;
        }
    };
    let folder = tempfile::tempdir().expect("a folder can be made");
    let source = folder.path().join("main.go");
    fs::write(&source, PROGRAM).expect("a file can be written");
    let output = go
        .command()
        .arg("run")
        .arg(&source)
        .output()
        .expect("Go runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let text = String::from_utf8(output.stdout).expect("Go prints text");
    let words = text
        .lines()
        .map(|line| line.split(' ').map(str::to_owned).collect::<Vec<_>>());
    let ours = words.filter(|words| {
        ["/memory/", "/gc/", "/cgo/"]
            .iter()
            .any(|part| words[0].starts_with(part))
    });
    Some(
        ours.map(|words| (words[0].clone(), words[1..].to_vec()))
            .collect(),
    )
}

#[test]
fn each_of_gos_names_is_here_or_left_out_for_a_reason() {
    let Some(go) = of_go() else { return };
    assert!(go.len() > 30, "{go:?}");
    let here = ALL.iter().map(|metric| metric.name);
    let mut known: Vec<_> = here
        .chain(LEFT_OUT.iter().map(|left_out| left_out.0))
        .collect();
    known.sort_unstable();
    let names: Vec<_> = go.keys().map(String::as_str).collect();
    assert_eq!(known, names);
    let now = goheap::metrics();
    for metric in &now {
        let said = &go[metric.description.name];
        // Go's own numbers for its kinds: `metrics.KindUint64`, `metrics.KindFloat64Histogram`.
        let kind = match metric.description.kind {
            Kind::Uint64 => "1",
            Kind::Float64Histogram => "3",
            other => panic!("{other:?}"),
        };
        let cumulative = metric.description.cumulative.to_string();
        assert_eq!(
            said[..2],
            [kind, &cumulative],
            "{}",
            metric.description.name
        );
        if let Value::Float64Histogram(shown) = &metric.value {
            let bits = shown
                .buckets
                .iter()
                .map(|boundary| format!("{:x}", boundary.to_bits()));
            assert_eq!(
                said[2..],
                bits.collect::<Vec<_>>(),
                "{}",
                metric.description.name
            );
        }
    }
}
