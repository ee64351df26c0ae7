//! Prometheus's metrics of a Go program: the names, kinds and labels of the Go collector and of the process
//! collector of its Go client, so that dashboards made for these show a program on goheap.
//!
//! On top of what that collector has by default come all of `runtime/metrics` that mean something here, named as it
//! names them when asked for all. What has no meaning here, such as `go_goroutines`, is not there.
//!
//! Source: prometheus/client_golang, `prometheus/go_collector.go`, `go_collector_latest.go`,
//! `process_collector.go`, `internal/go_runtime_metrics.go` (names and buckets of `runtime/metrics`).

use std::borrow::Cow;

use goheap_stats::metrics::{Float64Histogram, Metric, Value};
use goheap_stats::{MemStats, PAUSE_RING, Snapshot};

use crate::Program;
use crate::process::Facts;

/// A metric: one name, one or more samples.
#[derive(Debug)]
pub struct Family {
    /// Without the ending that a counter's samples have.
    pub name: Cow<'static, str>,
    pub help: Cow<'static, str>,
    pub value: Reading,
}

/// What a metric says.
#[derive(Debug)]
pub enum Reading {
    Counter(f64),
    Gauge(f64),
    /// 1, with what it is about in labels.
    Labels(Vec<(&'static str, String)>),
    /// Upper boundaries, and how many values are below each and not below the one before.
    Histogram {
        sum: f64,
        count: u64,
        buckets: Vec<(f64, u64)>,
    },
}

/// Quantiles, the sum and the count of a distribution.
#[derive(Debug)]
pub struct Summary {
    pub name: &'static str,
    pub help: &'static str,
    pub quantiles: [(&'static str, f64); 5],
    pub sum: f64,
    pub count: u64,
}

/// All metrics of one moment.
#[derive(Debug)]
pub struct Families {
    pub all: Vec<Family>,
    pub pauses: Summary,
}

/// Names, what they say, and how to read it.
type Read<From, To, const N: usize> = [(&'static str, &'static str, fn(&From) -> To); N];

/// `go_memstats_*` that are counters.
const COUNTERS: Read<MemStats, u64, 3> = [
    (
        "go_memstats_alloc_bytes",
        "Bytes of all objects allocated since the start.",
        |s| s.total_alloc,
    ),
    (
        "go_memstats_mallocs",
        "Objects allocated since the start.",
        |s| s.mallocs,
    ),
    (
        "go_memstats_frees",
        "Objects reclaimed since the start.",
        |s| s.frees,
    ),
];

/// Those that are gauges.
const GAUGES: Read<MemStats, u64, 18> = [
    (
        "go_memstats_alloc_bytes",
        "Bytes of objects that are allocated, live or dead and not reclaimed yet.",
        |s| s.alloc,
    ),
    (
        "go_memstats_sys_bytes",
        "Address space got from the system.",
        |s| s.sys,
    ),
    (
        "go_memstats_heap_alloc_bytes",
        "The same as go_memstats_alloc_bytes.",
        |s| s.heap_alloc,
    ),
    (
        "go_memstats_heap_sys_bytes",
        "Address space of the heap.",
        |s| s.heap_sys,
    ),
    (
        "go_memstats_heap_idle_bytes",
        "Heap pages in no span.",
        |s| s.heap_idle,
    ),
    (
        "go_memstats_heap_inuse_bytes",
        "Heap pages in spans.",
        |s| s.heap_inuse,
    ),
    (
        "go_memstats_heap_released_bytes",
        "Heap pages handed back to the system.",
        |s| s.heap_released,
    ),
    (
        "go_memstats_heap_objects",
        "Objects that are allocated.",
        |s| s.heap_objects,
    ),
    (
        "go_memstats_stack_inuse_bytes",
        "Stacks of the heap's own threads, from its own pages.",
        |s| s.stack_inuse,
    ),
    (
        "go_memstats_stack_sys_bytes",
        "Stacks of the heap's own threads.",
        |s| s.stack_sys,
    ),
    (
        "go_memstats_mspan_inuse_bytes",
        "Spans' records in use.",
        |s| s.mspan_inuse,
    ),
    (
        "go_memstats_mspan_sys_bytes",
        "Memory for spans' records.",
        |s| s.mspan_sys,
    ),
    (
        "go_memstats_mcache_inuse_bytes",
        "Threads' caches in use.",
        |s| s.mcache_inuse,
    ),
    (
        "go_memstats_mcache_sys_bytes",
        "Memory for threads' caches.",
        |s| s.mcache_sys,
    ),
    (
        "go_memstats_buck_hash_sys_bytes",
        "Memory of the heap profile's tables.",
        |s| s.buck_hash_sys,
    ),
    (
        "go_memstats_gc_sys_bytes",
        "Memory of the heap's other records.",
        |s| s.gc_sys,
    ),
    (
        "go_memstats_other_sys_bytes",
        "Memory that the heap got for all else: pages of guarded objects (GOHEAP_GUARD).",
        |s| s.other_sys,
    ),
    (
        "go_memstats_next_gc_bytes",
        "Size that the heap should have when the cycle to come is over.",
        |s| s.next_gc,
    ),
];

/// What the kernel tells, as far as it does.
const OF_PROCESS: Read<Facts, Option<f64>, 7> = [
    ("go_threads", "Threads of the process.", |f| f.threads),
    ("process_open_fds", "Open file descriptors.", |f| {
        f.open_files
    }),
    (
        "process_max_fds",
        "File descriptors that may be open.",
        |f| f.most_files,
    ),
    (
        "process_virtual_memory_bytes",
        "Address space in use.",
        |f| f.virtual_memory,
    ),
    (
        "process_virtual_memory_max_bytes",
        "Address space that may be in use.",
        |f| f.most_virtual_memory,
    ),
    ("process_resident_memory_bytes", "Resident memory.", |f| {
        f.resident
    }),
    (
        "process_start_time_seconds",
        "When the process started, in seconds since 1970.",
        |f| f.started,
    ),
];

impl Families {
    /// All metrics of the program.
    pub fn of(program: &dyn Program, stats: &MemStats, snapshot: &Snapshot, facts: &Facts) -> Self {
        let mut all = Vec::new();
        let mut add = |name: &'static str, help: &'static str, value| {
            all.push(Family {
                name: name.into(),
                help: help.into(),
                value,
            });
        };
        let labels = vec![
            ("version", program.version()),
            ("goheap", env!("CARGO_PKG_VERSION").to_owned()),
        ];
        add(
            "go_info",
            "The version of Go whose behaviour this is, and that of goheap.",
            Reading::Labels(labels),
        );
        let last_gc = snapshot.last_gc as f64 / 1e9;
        add(
            "go_memstats_last_gc_time_seconds",
            "When the last cycle ended, in seconds since 1970.",
            Reading::Gauge(last_gc),
        );
        let processors = program.processors().into();
        add(
            "go_sched_gomaxprocs_threads",
            "Processors that count as the program's, as GOMAXPROCS says or as it may use.",
            Reading::Gauge(processors),
        );
        for (name, help, read) in GAUGES {
            add(name, help, Reading::Gauge(read(stats) as f64));
        }
        for (name, help, read) in COUNTERS {
            add(name, help, Reading::Counter(read(stats) as f64));
        }
        for (name, help, read) in OF_PROCESS {
            if let Some(value) = read(facts) {
                add(name, help, Reading::Gauge(value));
            }
        }
        if let Some(seconds) = facts.cpu_seconds {
            let help = "Processor time, the program's and the kernel's for it.";
            add("process_cpu_seconds", help, Reading::Counter(seconds));
        }
        let metrics = program.metrics();
        let sums = |name: &str| match name {
            "/gc/heap/allocs-by-size:bytes" => {
                metrics.number("/gc/heap/allocs:bytes").unwrap_or(0) as f64
            }
            "/gc/heap/frees-by-size:bytes" => {
                metrics.number("/gc/heap/frees:bytes").unwrap_or(0) as f64
            }
            _ => stats.pause_total_ns as f64 / 1e9,
        };
        all.extend(metrics.iter().map(|metric| family(metric, sums)));
        Self {
            all,
            pauses: pauses(stats),
        }
    }
}

/// One of `runtime/metrics`, as Prometheus's collector names it.
fn family(metric: &Metric, sum: impl Fn(&str) -> f64) -> Family {
    let description = metric.description;
    let name = description.name.replace(['/', '-', ':'], "_");
    let value = match &metric.value {
        Value::Uint64(number) if description.cumulative => Reading::Counter(*number as f64),
        Value::Uint64(number) => Reading::Gauge(*number as f64),
        Value::Float64Histogram(shown) => {
            let growth = if description.unit() == "bytes" {
                2.0
            } else {
                10.0
            };
            Reading::Histogram {
                sum: sum(description.name),
                count: shown.counts.iter().sum(),
                buckets: coarser(shown, growth),
            }
        }
        _ => Reading::Gauge(f64::NAN),
    };
    Family {
        name: format!("go{name}").into(),
        help: format!("{} Go: {}.", description.description, description.name).into(),
        value,
    }
}

/// A distribution with boundaries that lie apart by a factor at least: Prometheus keeps a series for each.
fn coarser(shown: &Float64Histogram, factor: f64) -> Vec<(f64, u64)> {
    let mut buckets: Vec<(f64, u64)> = Vec::new();
    let mut pending = 0;
    let mut last = 0.0;
    for (&above, &count) in shown.buckets[1..].iter().zip(&shown.counts) {
        pending += count;
        if above >= last * factor && above > 0.0 {
            buckets.push((above, pending));
            (pending, last) = (0, above);
        }
    }
    buckets
}

/// The last pauses' quantiles (Go: `debug.ReadGCStats`), and the sum and count of all.
fn pauses(stats: &MemStats) -> Summary {
    let known = (stats.num_gc as usize).min(PAUSE_RING);
    // The ring is filled from its start, so as many of its first slots are used.
    let mut sorted = stats.pause_ns[..known].to_vec();
    sorted.sort_unstable();
    let quantile = |quarter: usize| {
        let at = (sorted.len() * quarter / 4).min(sorted.len().saturating_sub(1));
        sorted.get(at).map_or(0.0, |&ns| ns as f64 / 1e9)
    };
    let names = ["0", "0.25", "0.5", "0.75", "1"];
    Summary {
        name: "go_gc_duration_seconds",
        help: "How long cycles held a thread up: quantiles of the last 256.",
        quantiles: std::array::from_fn(|quarter| (names[quarter], quantile(quarter))),
        sum: stats.pause_total_ns as f64 / 1e9,
        count: stats.num_gc.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_the_cycles_there_were() {
        let mut stats = MemStats::zeroed();
        assert!(
            pauses(&stats)
                .quantiles
                .iter()
                .all(|(_, seconds)| *seconds == 0.0)
        );
        stats.num_gc = 4;
        stats.pause_ns[..4].copy_from_slice(&[
            4_000_000_000,
            1_000_000_000,
            3_000_000_000,
            2_000_000_000,
        ]);
        let seconds = pauses(&stats).quantiles.map(|(_, seconds)| seconds);
        assert_eq!(seconds, [1.0, 2.0, 3.0, 4.0, 4.0]);
    }

    #[test]
    fn coarser_boundaries_lose_no_value() {
        let shown = Float64Histogram {
            counts: vec![9, 1, 2, 3, 4, 5],
            buckets: vec![f64::NEG_INFINITY, 0.0, 8.0, 10.0, 16.0, 17.0, f64::INFINITY],
        };
        assert_eq!(
            coarser(&shown, 2.0),
            [(8.0, 10), (16.0, 5), (f64::INFINITY, 9)]
        );
    }
}
