//! Where and how something was measured, for the head of a file of results.

use std::fs;

/// The lines that a file of results begins with, each a comment.
pub fn header(command: &str, columns: &str) -> String {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    format!(
        "# machine: {}, {processors} processors, Linux {}\n# command: {command}\n# {columns}\n",
        processor(),
        kernel()
    )
}

fn processor() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let mut lines = info.lines().filter_map(|line| line.split_once(':'));
    let model = lines.find(|(key, _)| key.trim() == "model name");
    model
        .map_or("unknown processor", |(_, model)| model.trim())
        .to_owned()
}

fn kernel() -> String {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let version = release.split(['-', '\n']).next().unwrap_or_default();
    version.to_owned()
}

/// The most memory that this process has had at once, in KiB, by the kernel's count.
pub fn peak_rss_kib() -> u64 {
    // SAFETY: the structure is plain integers, which the kernel fills in.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_SELF, &mut usage);
        usage
    };
    usage.ru_maxrss as u64
}
