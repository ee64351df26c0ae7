//! What a replay prints: a snapshot a line, in JSON, under Go's names.

use std::collections::BTreeMap;
use std::process::Command;

use goheap::MemStats;
use serde::{Deserialize, Serialize};

use crate::Error;

/// One snapshot of a replay.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Record {
    /// What the trace calls it; `baseline` for the one before the first operation.
    pub label: String,
    /// Time since the baseline.
    pub seconds: f64,
    /// What all the process's threads have run since the baseline.
    pub processor_seconds: f64,
    /// The process's resident set in bytes, as ps reports it.
    #[serde(rename = "RSS")]
    pub rss: u64,
    /// What the heap said of itself.
    pub mem_stats: Figures,
}

impl Record {
    /// What a replay in a process of its own prints. `of` is what an error calls the trace.
    pub fn printed_by(replay: &mut Command, of: &str) -> Result<Vec<Self>, Error> {
        let program = replay.get_program().to_string_lossy().into_owned();
        let output = replay
            .output()
            .map_err(Error::system(format!("start {program}")))?;
        if !output.status.success() {
            return Err(Error::Child {
                trace: of.into(),
                status: output.status,
                stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            });
        }
        serde_json::Deserializer::from_slice(&output.stdout)
            .into_iter()
            .collect::<Result<_, _>>()
            .map_err(|error| Error::Figures {
                of: of.into(),
                reason: error.to_string(),
            })
    }
}

/// The fields of [`MemStats`] that a replay reports, in the same meaning.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs)]
pub struct Figures {
    pub sys: u64,
    pub total_alloc: u64,
    pub mallocs: u64,
    pub frees: u64,
    pub heap_alloc: u64,
    pub heap_sys: u64,
    pub heap_idle: u64,
    pub heap_inuse: u64,
    pub heap_released: u64,
    pub heap_objects: u64,
    #[serde(rename = "NextGC")]
    pub next_gc: u64,
    #[serde(rename = "NumGC")]
    pub num_gc: u32,
    #[serde(rename = "NumForcedGC")]
    pub num_forced_gc: u32,
    pub pause_total_ns: u64,
    pub stack_sys: u64,
    #[serde(rename = "MSpanSys")]
    pub mspan_sys: u64,
    #[serde(rename = "MCacheSys")]
    pub mcache_sys: u64,
    #[serde(rename = "GCSys")]
    pub gc_sys: u64,
    pub other_sys: u64,
    pub buck_hash_sys: u64,
    #[serde(rename = "GCCPUFraction")]
    pub gc_cpu_fraction: f64,
    /// Mallocs and frees by the size of the class, in bytes, of the classes used.
    pub by_size: BTreeMap<u32, [u64; 2]>,
}

impl From<&MemStats> for Figures {
    fn from(stats: &MemStats) -> Self {
        let used = stats.by_size.iter().filter(|class| class.mallocs > 0);
        Self {
            sys: stats.sys,
            total_alloc: stats.total_alloc,
            mallocs: stats.mallocs,
            frees: stats.frees,
            heap_alloc: stats.heap_alloc,
            heap_sys: stats.heap_sys,
            heap_idle: stats.heap_idle,
            heap_inuse: stats.heap_inuse,
            heap_released: stats.heap_released,
            heap_objects: stats.heap_objects,
            next_gc: stats.next_gc,
            num_gc: stats.num_gc,
            num_forced_gc: stats.num_forced_gc,
            pause_total_ns: stats.pause_total_ns,
            stack_sys: stats.stack_sys,
            mspan_sys: stats.mspan_sys,
            mcache_sys: stats.mcache_sys,
            gc_sys: stats.gc_sys,
            other_sys: stats.other_sys,
            buck_hash_sys: stats.buck_hash_sys,
            gc_cpu_fraction: stats.gc_cpu_fraction,
            by_size: used
                .map(|class| (class.size, [class.mallocs, class.frees]))
                .collect(),
        }
    }
}
