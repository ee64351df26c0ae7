//! The profile as text, as Go writes it for `?debug=1`: what was sampled, not yet scaled, for that
//! format says at which rate and leaves the rest to its readers.

use super::{Samples, Site, Symbols};
use crate::MemStats;
use std::io::{self, Write};

impl Samples {
    /// Writes the profile in Go's old text format: a line a site with counts of samples, its addresses and what they
    /// are but for the allocator's own, and below them the counters, and the most bytes that were resident if they
    /// are known (Go: `writeHeapInternal`). The largest site stands first; Go 1.27 has it last.
    ///
    /// # Errors
    /// What `to` refuses.
    pub fn write_text(
        &self,
        symbols: &Symbols,
        stats: &MemStats,
        max_rss: Option<u64>,
        mut to: impl Write,
    ) -> io::Result<()> {
        let counts = |site: &Site| {
            let in_use = site.allocs - site.frees;
            let bytes = site.slot_bytes as i64;
            [in_use, in_use * bytes, site.allocs, site.allocs * bytes]
        };
        let mut total = [0i64; 4];
        for site in &self.sites {
            for (sum, count) in total.iter_mut().zip(counts(site)) {
                *sum += count;
            }
        }
        let [objects, bytes, all, mut all_bytes] = total;
        // Where these are the same, pprof takes it that the lines below say nothing of what was allocated.
        all_bytes += i64::from(all_bytes == bytes);
        writeln!(
            to,
            "heap profile: {objects}: {bytes} [{all}: {all_bytes}] @ heap/{}",
            self.rate * 2
        )?;
        let mut sites: Vec<&Site> = self.sites.iter().collect();
        sites.sort_by_key(|site| std::cmp::Reverse(counts(site)[1]));
        for site in sites {
            let [objects, bytes, all, all_bytes] = counts(site);
            write!(to, "{objects}: {bytes} [{all}: {all_bytes}] @")?;
            for address in &site.stack {
                write!(to, " {address:#x}")?;
            }
            writeln!(to)?;
            for place in symbols.places(&site.stack) {
                let (address, frames) = (place.call + 1, symbols.frames_of(place));
                if frames.is_empty() {
                    writeln!(to, "#\t{address:#x}")?;
                }
                for frame in frames {
                    writeln!(
                        to,
                        "#\t{address:#x}\t{}\t\t{}:{}",
                        frame.function, frame.file, frame.line
                    )?;
                }
            }
            writeln!(to)?;
        }
        write_counters(stats, &mut to)?;
        max_rss.map_or(Ok(()), |bytes| writeln!(to, "# MaxRSS = {bytes}"))
    }
}

fn write_counters(s: &MemStats, mut to: impl Write) -> io::Result<()> {
    writeln!(to, "# runtime.MemStats")?;
    for (name, value) in [
        ("Alloc", s.alloc),
        ("TotalAlloc", s.total_alloc),
        ("Sys", s.sys),
        ("Lookups", s.lookups),
        ("Mallocs", s.mallocs),
        ("Frees", s.frees),
        ("HeapAlloc", s.heap_alloc),
        ("HeapSys", s.heap_sys),
        ("HeapIdle", s.heap_idle),
        ("HeapInuse", s.heap_inuse),
        ("HeapReleased", s.heap_released),
        ("HeapObjects", s.heap_objects),
    ] {
        writeln!(to, "# {name} = {value}")?;
    }
    for (name, used, mapped) in [
        ("Stack", s.stack_inuse, s.stack_sys),
        ("MSpan", s.mspan_inuse, s.mspan_sys),
        ("MCache", s.mcache_inuse, s.mcache_sys),
    ] {
        writeln!(to, "# {name} = {used} / {mapped}")?;
    }
    for (name, value) in [
        ("BuckHashSys", s.buck_hash_sys),
        ("GCSys", s.gc_sys),
        ("OtherSys", s.other_sys),
        ("NextGC", s.next_gc),
        ("LastGC", s.last_gc),
    ] {
        writeln!(to, "# {name} = {value}")?;
    }
    let list = |to: &mut dyn Write, name: &str, values: &[u64]| {
        write!(to, "# {name} = [")?;
        for (i, value) in values.iter().enumerate() {
            write!(to, "{}{value}", if i == 0 { "" } else { " " })?;
        }
        writeln!(to, "]")
    };
    list(&mut to, "PauseNs", &s.pause_ns)?;
    list(&mut to, "PauseEnd", &s.pause_end)?;
    writeln!(to, "# NumGC = {}", s.num_gc)?;
    writeln!(to, "# NumForcedGC = {}", s.num_forced_gc)?;
    writeln!(to, "# GCCPUFraction = {}", s.gc_cpu_fraction)?;
    writeln!(to, "# DebugGC = {}", s.debug_gc)
}
