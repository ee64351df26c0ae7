//! A snapshot in JSON bears Go's names and survives the way there and back.

use goheap_stats::{BySize, MemStats};

/// The exported fields of Go's `runtime.MemStats`, in its order.
const GO_FIELDS: [&str; 32] = [
    "Alloc",
    "TotalAlloc",
    "Sys",
    "Lookups",
    "Mallocs",
    "Frees",
    "HeapAlloc",
    "HeapSys",
    "HeapIdle",
    "HeapInuse",
    "HeapReleased",
    "HeapObjects",
    "StackInuse",
    "StackSys",
    "MSpanInuse",
    "MSpanSys",
    "MCacheInuse",
    "MCacheSys",
    "BuckHashSys",
    "GCSys",
    "OtherSys",
    "NextGC",
    "LastGC",
    "PauseTotalNs",
    "PauseNs",
    "PauseEnd",
    "NumGC",
    "NumForcedGC",
    "GCCPUFraction",
    "EnableGC",
    "DebugGC",
    "BySize",
];

#[test]
fn the_names_and_their_order_are_gos() {
    let text = serde_json::to_string(&MemStats::zeroed()).unwrap();
    let mut at = 0;
    for field in GO_FIELDS {
        let found = text[at..].find(&format!("\"{field}\":"));
        at += found.unwrap_or_else(|| panic!("{field} is missing or out of order"));
    }
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(value.as_object().unwrap().len(), GO_FIELDS.len());
}

#[test]
fn a_snapshot_survives_json() {
    let mut stats = MemStats::zeroed();
    stats.heap_alloc = u64::MAX;
    stats.pause_ns[255] = 7;
    stats.pause_end[0] = 9;
    stats.gc_cpu_fraction = 0.125;
    stats.by_size[60] = BySize {
        size: 18432,
        mallocs: 5,
        frees: 3,
    };
    let text = serde_json::to_string(&stats).unwrap();
    assert!(text.contains(r#"{"Size":18432,"Mallocs":5,"Frees":3}"#));
    assert_eq!(serde_json::from_str::<MemStats>(&text).unwrap(), stats);
}

#[test]
fn what_a_go_program_prints_can_be_read() {
    let mut value = serde_json::to_value(MemStats::zeroed()).unwrap();
    value["EnableGC"] = true.into();
    value["NumGC"] = 3.into();
    let stats: MemStats = serde_json::from_value(value).unwrap();
    assert!(stats.enable_gc);
    assert_eq!(stats.num_gc, 3);
}
