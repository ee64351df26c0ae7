//! What the kernel says of the process, as far as it says it: what cannot be read is left out.

use procfs::process::{LimitValue, Process};
use procfs::{CurrentSI, KernelStats, WithCurrentSystemInfo};

/// The process at one moment, in the numbers that Prometheus has.
#[derive(Clone, Copy, Debug, Default)]
pub struct Facts {
    pub cpu_seconds: Option<f64>,
    pub threads: Option<f64>,
    pub open_files: Option<f64>,
    pub most_files: Option<f64>,
    /// Bytes.
    pub virtual_memory: Option<f64>,
    pub most_virtual_memory: Option<f64>,
    pub resident: Option<f64>,
    /// Seconds since 1970.
    pub started: Option<f64>,
}

impl Facts {
    /// Of the calling process.
    pub fn own() -> Self {
        let Ok(process) = Process::myself() else {
            return Self::default();
        };
        let stat = process.stat().ok();
        let stat = stat.as_ref();
        let limits = process.limits().ok();
        let limits = limits.as_ref();
        let ticks = procfs::ticks_per_second() as f64;
        Self {
            cpu_seconds: stat.map(|stat| (stat.utime + stat.stime) as f64 / ticks),
            threads: stat.map(|stat| stat.num_threads as f64),
            open_files: process.fd_count().ok().map(|count| count as f64),
            most_files: limits.map(|limits| number(limits.max_open_files.soft_limit)),
            virtual_memory: stat.map(|stat| stat.vsize as f64),
            most_virtual_memory: limits.map(|limits| number(limits.max_address_space.soft_limit)),
            resident: stat.map(|stat| stat.rss_bytes().get() as f64),
            started: stat.and_then(|stat| {
                let booted = KernelStats::current().ok()?.btime as f64;
                Some(booted + stat.starttime as f64 / ticks)
            }),
        }
    }
}

/// As Prometheus's process collector has it, no limit is the largest number there is.
fn number(limit: LimitValue) -> f64 {
    match limit {
        LimitValue::Unlimited => u64::MAX as f64,
        LimitValue::Value(value) => value as f64,
    }
}

/// Bytes of the resident set.
pub fn resident() -> Option<u64> {
    let pages = Process::myself().ok()?.statm().ok()?.resident;
    Some(pages * procfs::page_size())
}

/// Bytes of the resident set at its largest.
pub fn most_resident() -> Option<u64> {
    let kib = Process::myself().ok()?.status().ok()?.vmhwm?;
    Some(kib * 1024)
}

/// The program and its arguments.
pub fn command_line() -> Vec<String> {
    let read = Process::myself().and_then(|process| process.cmdline());
    read.unwrap_or_default()
}
