//! What Prometheus reads: valid in both forms, under the names of its Go client's collectors.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::process::{Command, Stdio};

use regex::Regex;
use support::{Reply, asked, served};

/// What `collectors.NewGoCollector` of prometheus/client_golang exposes by default on Go 1.27, without
/// `go_goroutines`: there are none. With its kinds.
const GO: &[(&str, &str)] = &[
    ("go_gc_duration_seconds", "summary"),
    ("go_gc_gogc_percent", "gauge"),
    ("go_gc_gomemlimit_bytes", "gauge"),
    ("go_info", "gauge"),
    ("go_memstats_alloc_bytes", "gauge"),
    ("go_memstats_alloc_bytes_total", "counter"),
    ("go_memstats_buck_hash_sys_bytes", "gauge"),
    ("go_memstats_frees_total", "counter"),
    ("go_memstats_gc_sys_bytes", "gauge"),
    ("go_memstats_heap_alloc_bytes", "gauge"),
    ("go_memstats_heap_idle_bytes", "gauge"),
    ("go_memstats_heap_inuse_bytes", "gauge"),
    ("go_memstats_heap_objects", "gauge"),
    ("go_memstats_heap_released_bytes", "gauge"),
    ("go_memstats_heap_sys_bytes", "gauge"),
    ("go_memstats_last_gc_time_seconds", "gauge"),
    ("go_memstats_mallocs_total", "counter"),
    ("go_memstats_mcache_inuse_bytes", "gauge"),
    ("go_memstats_mcache_sys_bytes", "gauge"),
    ("go_memstats_mspan_inuse_bytes", "gauge"),
    ("go_memstats_mspan_sys_bytes", "gauge"),
    ("go_memstats_next_gc_bytes", "gauge"),
    ("go_memstats_other_sys_bytes", "gauge"),
    ("go_memstats_stack_inuse_bytes", "gauge"),
    ("go_memstats_stack_sys_bytes", "gauge"),
    ("go_memstats_sys_bytes", "gauge"),
    ("go_sched_gomaxprocs_threads", "gauge"),
    ("go_threads", "gauge"),
    ("process_cpu_seconds_total", "counter"),
    ("process_max_fds", "gauge"),
    ("process_open_fds", "gauge"),
    ("process_resident_memory_bytes", "gauge"),
    ("process_start_time_seconds", "gauge"),
    ("process_virtual_memory_bytes", "gauge"),
    ("process_virtual_memory_max_bytes", "gauge"),
];

/// Samples by name with labels, and kinds by family, of a text that keeps to the grammar.
struct Read {
    samples: BTreeMap<String, f64>,
    kinds: BTreeMap<String, String>,
}

#[track_caller]
fn read(text: &str) -> Read {
    let comment = Regex::new(r"^# (HELP|TYPE) ([a-zA-Z_:][a-zA-Z0-9_:]*) (.+)$").unwrap();
    let sample = Regex::new(
        r#"^([a-zA-Z_:][a-zA-Z0-9_:]*)(\{[a-z]+="[^"\\]*"(?:,[a-z]+="[^"\\]*")*\})? (\S+)$"#,
    )
    .unwrap();
    let (mut samples, mut kinds, mut helped) = (BTreeMap::new(), BTreeMap::new(), BTreeSet::new());
    let mut family = String::new();
    let mut over = BTreeSet::new();
    for line in text.lines().filter(|line| *line != "# EOF") {
        if let Some(parts) = comment.captures(line) {
            if parts[2] != family {
                over.insert(std::mem::replace(&mut family, parts[2].into()));
                assert!(
                    !over.contains(&family),
                    "{family} comes twice, or in pieces"
                );
            }
            match &parts[1] {
                "TYPE" => assert_eq!(kinds.insert(family.clone(), parts[3].into()), None),
                _ => assert!(helped.insert(family.clone()), "{line}"),
            }
            continue;
        }
        let parts = sample
            .captures(line)
            .unwrap_or_else(|| panic!("not of the grammar: {line}"));
        assert!(
            parts[1].starts_with(&family),
            "{line} stands under {family}"
        );
        let value = parts[3]
            .parse()
            .unwrap_or_else(|_| panic!("no number: {line}"));
        let name = format!(
            "{}{}",
            &parts[1],
            parts.get(2).map_or("", |labels| labels.as_str())
        );
        assert_eq!(samples.insert(name, value), None, "{line}");
    }
    assert!(
        kinds.keys().eq(helped.iter()),
        "each family has a kind and a help"
    );
    Read { samples, kinds }
}

fn metrics(accept: &str) -> Reply {
    let (address, _) = served();
    let reply = asked(address, "GET /metrics", accept);
    assert_eq!(reply.status, 200);
    reply
}

const PROMETHEUS: &str = "Accept: application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.1\r\n";

#[test]
fn a_dashboard_of_a_go_program_finds_its_metrics() {
    let reply = metrics("");
    assert_eq!(
        reply.header("Content-Type"),
        "text/plain; version=0.0.4; charset=utf-8"
    );
    let Read { samples, kinds } = read(&reply.body);
    for (name, kind) in GO {
        assert_eq!(kinds.get(*name).map(String::as_str), Some(*kind), "{name}");
        let sampled = samples
            .keys()
            .any(|sample| sample.split('{').next() == Some(name));
        assert!(sampled, "{name} has no sample");
    }
    let value = |name: &str| samples.get(name).copied().unwrap_or(f64::NAN);
    assert_eq!(value("go_memstats_alloc_bytes"), 3_000.0);
    assert_eq!(value("go_memstats_alloc_bytes_total"), 123_456_789_012.0);
    assert_eq!(value("go_memstats_last_gc_time_seconds"), 1_700_000_000.5);
    assert_eq!(value("go_gc_duration_seconds{quantile=\"1\"}"), 3e-6);
    assert_eq!(value("go_gc_duration_seconds_sum"), 6e-6);
    assert_eq!(value("go_gc_duration_seconds_count"), 3.0);
    // As in Go: off is the largest number there is.
    assert_eq!(value("go_gc_gogc_percent"), u64::MAX as f64);
    assert_eq!(value("go_gc_heap_live_bytes"), 1_000.0);
    let size = std::fs::metadata("/proc/self/exe").map_or(0, |file| file.len());
    assert!(value("process_virtual_memory_bytes") > size as f64 / 2.0);
}

#[test]
fn openmetrics_is_what_prometheus_gets_when_it_asks() {
    let reply = metrics(PROMETHEUS);
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    assert_eq!(reply.header("Content-Type"), kind);
    assert!(reply.body.ends_with("\n# EOF\n"));
    let openmetrics = read(&reply.body);
    // Boundaries are written as 17.0 by the one, as 17 by the other.
    let names = |read: &Read| -> Vec<String> {
        let names = read
            .samples
            .keys()
            .filter_map(|name| name.split('{').next());
        names.map(str::to_owned).collect()
    };
    let older = read(&metrics("").body);
    assert_eq!(
        names(&openmetrics),
        names(&older),
        "both forms have the same series"
    );
    for (family, kind) in &openmetrics.kinds {
        // A counter's family has no ending, and no other family's name may be that of a counter's sample.
        let counts = kind == "counter";
        assert!(!counts || !family.ends_with("_total"), "{family}");
        assert!(
            !counts || openmetrics.samples.contains_key(&format!("{family}_total")),
            "{family}"
        );
    }
}

#[test]
fn a_histogram_has_all_in_its_last_bucket() {
    let Read { samples, kinds } = read(&metrics("").body);
    for (family, _) in kinds.iter().filter(|(_, kind)| *kind == "histogram") {
        let count = samples[&format!("{family}_count")];
        assert_eq!(
            samples[&format!("{family}_bucket{{le=\"+Inf\"}}")],
            count,
            "{family}"
        );
        let prefix = format!("{family}_bucket");
        let mut buckets: Vec<(f64, f64)> = samples
            .iter()
            .filter_map(|(name, count)| {
                let bound = name
                    .strip_prefix(&prefix)?
                    .strip_prefix("{le=\"")?
                    .strip_suffix("\"}")?;
                Some((bound.replace("+Inf", "inf").parse().ok()?, *count))
            })
            .collect();
        buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
        assert!(
            buckets.is_sorted_by(|a, b| a.1 <= b.1),
            "{family}: {buckets:?}"
        );
        assert!((5..40).contains(&buckets.len()), "{family}: {buckets:?}");
    }
    assert_eq!(samples["go_gc_heap_allocs_by_size_bytes_count"], 40.0);
}

#[test]
fn prometheuss_own_linter_finds_nothing() {
    let started = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut promtool) = started else {
        println!("skipped: promtool is not installed");
        return;
    };
    let mut to = promtool.stdin.take().expect("it is piped");
    to.write_all(metrics("").body.as_bytes())
        .expect("it is read");
    drop(to);
    let said = promtool.wait_with_output().expect("it ends");
    let words = String::from_utf8_lossy(&said.stderr);
    assert!(said.status.success() && words.is_empty(), "{words}");
}
