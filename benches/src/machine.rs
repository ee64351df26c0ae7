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

/// The most memory that this process has had resident at once, in KiB.
pub fn peak_rss_kib() -> u64 {
    // Not `getrusage`: there a process begins with what its parent had as it forked.
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mut words = status.split_whitespace();
    words.find(|word| *word == "VmHWM:");
    words.next().and_then(|kib| kib.parse().ok()).unwrap_or(0)
}

/// The memory that a process has resident now, in KiB; `None` if it is no more.
pub fn rss_kib(process: u32) -> Option<u64> {
    let statm = fs::read_to_string(format!("/proc/{process}/statm")).ok()?;
    let pages: u64 = statm.split_whitespace().nth(1)?.parse().ok()?;
    Some(pages * 4)
}
