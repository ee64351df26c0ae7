//! The heap profile: which call sites allocated what is in use, by samples (Go: `runtime/mprof.go`,
//! `runtime/pprof`).
//!
//! ```no_run
//! # fn main() -> std::io::Result<()> {
//! let file = std::fs::File::create("heap.pb.gz")?;
//! goheap::write_heap_profile(file)?; // go tool pprof -top heap.pb.gz
//!
//! let before = goheap::profile::Profile::now();
//! // …
//! let since = goheap::profile::Profile::now().since(&before);
//! since.write_text(std::io::stdout())?;
//! # Ok(())
//! # }
//! ```
//!
//! | file | idea |
//! | --- | --- |
//! | `walk/` | the stack of who allocates, without allocating |
//! | `peak.rs` | the profile of the moment at which the process was at its largest |
//! | `in_use.rs` | what samples tell of objects in use, for explanations |
//! | `dump.rs` | profiles written to files: on a signal, at exit, for `goheap profile` |
//! | `modules.rs` | the program and its libraries |
//! | `symbolize.rs` | functions and files for addresses |

mod dump;
mod in_use;
mod modules;
mod peak;
mod symbolize;
mod walk;

use crate::runtime::{HEAP, RUNTIME};
use crate::{read_mem_stats, tls};
use goheap_allocator::heap::{Moment, SiteView};
use goheap_allocator::os;
use goheap_allocator::sample::MAX_DEPTH;
use goheap_stats::profile::{Estimate, Samples, Shown, Site, Symbols};
use modules::Modules;
use std::ffi::CStr;
use std::io::{self, Write};

pub(crate) use dump::{before_end, begin, serve, watch_signal};
pub(crate) use in_use::sampled;
pub(crate) use peak::{is_much, look as look_for_peak};
pub(crate) use walk::{capture, fork_lock, fork_unlock};

/// Sets how often objects are sampled, and whether profiles are written at exit.
pub(crate) fn configure(rate: u64, at_exit: bool) {
    HEAP.set_sample_rate(rate, os::random());
    dump::configure(at_exit);
}

/// Samples one object in so many bytes from now on, on average; 0: none, 1: all. Returns the rate before. What
/// is in use then stays in the profile. As with Go's `runtime.MemProfileRate`, to be called as early as
/// possible in `main`: a profile takes all its samples to be of one rate, and a thread goes on with
/// the distances to its next samples that it has drawn.
pub fn set_rate(bytes: u64) -> u64 {
    RUNTIME.start();
    let before = HEAP.sample_rate().get();
    HEAP.set_sample_rate(bytes, os::random());
    before
}

/// Whether anything is sampled.
fn is_on() -> bool {
    HEAP.sample_rate().get() > 0
}

/// Writes a profile to a file for who asked for it from outside, unless nothing is sampled.
pub(crate) fn hand_over(path: &CStr, peak: bool) -> bool {
    if is_on() {
        dump::hand_over(path, peak);
    }
    true
}

/// In the child of a `fork`.
pub(crate) fn after_fork_in_child() {
    walk::after_fork_in_child();
    dump::after_fork_in_child();
}

/// Samples the object of `bytes` at `at`, which is about to be handed out. Takes locks and may allocate, so
/// the calling thread holds none.
#[cold]
#[inline(never)]
pub(crate) fn sample(at: *mut u8, bytes: usize) {
    if !is_on() {
        return;
    }
    HEAP.with_last_stack(tls::cache(), |stack| {
        walk::capture(stack);
        HEAP.sample(at.addr(), bytes, stack);
    });
}

/// The heap profile of a moment: estimates, by call site, from samples of one in `GOHEAP_PROFILE_RATE`
/// bytes. What is in use is told as of the last completed cycle, as in Go, or before there was
/// one, as of the moment itself; [`gc`](crate::gc) before it brings it up to date.
#[derive(Clone, Debug)]
pub struct Profile(Samples);

impl Profile {
    /// Reads the samples. Costs some microseconds, and about one more for each site and each sample in use.
    pub fn now() -> Self {
        Self::of(Moment::LastCycle)
    }

    /// That of the moment at which more of the heap was resident than ever before, up to a 32nd: what was in use
    /// is what no sweep had freed by then. Kept as it happened; costs what [`Profile::now`] does.
    pub fn peak() -> Self {
        RUNTIME.start();
        peak::look();
        let Self(mut samples) = Self::of(Moment::Peak);
        let bytes = peak::kept_bytes();
        let comment = format!("when the heap was at its largest, with {bytes} bytes in memory");
        samples.comments.push(comment);
        Self(samples)
    }

    fn of(moment: Moment) -> Self {
        RUNTIME.start();
        let started = RUNTIME
            .started_ns
            .load(core::sync::atomic::Ordering::Relaxed);
        let (mut sites, mut frames) = HEAP.sites();
        loop {
            // Nothing may be allocated while the sites are read, so there is room for some that come meanwhile.
            let mut found: Vec<(Site, usize)> = Vec::with_capacity(sites + sites / 4 + 16);
            let mut addresses: Vec<u64> = Vec::with_capacity(frames + frames / 4 + 16 * MAX_DEPTH);
            let mut fits = true;
            HEAP.for_each_site(moment, |site| {
                fits = found.len() < found.capacity()
                    && addresses.len() + site.stack.len() <= addresses.capacity();
                if fits {
                    addresses.extend(site.stack.iter().map(|&address| address as u64));
                    found.push((counts(&site), site.stack.len()));
                }
                fits
            });
            if !fits {
                (sites, frames) = HEAP.sites();
                continue;
            }
            let mut rest = &addresses[..];
            let stacks = found.into_iter().map(|(site, depth)| {
                let (stack, more) = rest.split_at(depth);
                rest = more;
                Site {
                    stack: stack.to_vec(),
                    ..site
                }
            });
            return Self(Samples {
                rate: HEAP.sample_rate().get(),
                taken_ns: os::wall_clock_ns(),
                duration_ns: os::monotonic_ns().saturating_sub(started),
                comments: Vec::new(),
                sites: stacks.collect(),
            });
        }
    }

    /// What came since `earlier`; what is in use less than then is negative.
    pub fn since(&self, earlier: &Profile) -> Profile {
        Self(self.0.since(&earlier.0))
    }

    /// What all sites together stand for.
    pub fn total(&self) -> Estimate {
        self.0.total()
    }

    /// Writes it as `go tool pprof` and others read it: gzipped profile.proto, with
    /// the names of functions and the build ids of files. Its sample types are Go's four and `held_space`: bytes of
    /// span that a site's survivors keep from going idle. Reads the files of the program and its libraries: some
    /// hundred milliseconds and as many bytes as their debug information has, for the length of the call.
    ///
    /// # Errors
    /// What `to` refuses.
    pub fn write_pprof(&self, to: impl Write) -> io::Result<()> {
        self.0.write_pprof(&self.symbols(), Shown::InUse, to)
    }

    /// Writes it as text, as Go does for `?debug=1`: samples as they were counted, each site's functions,
    /// and the counters below. `MaxRSS` is since the process runs this program; Go's may be that of the one before.
    ///
    /// # Errors
    /// What `to` refuses.
    pub fn write_text(&self, to: impl Write) -> io::Result<()> {
        let max_rss = Some(os::Resident::own().peak).filter(|&bytes| bytes > 0);
        self.0
            .write_text(&self.symbols(), &read_mem_stats(), max_rss, to)
    }

    /// What was sampled.
    #[cfg(feature = "http")]
    pub(crate) fn into_samples(self) -> Samples {
        self.0
    }

    fn symbols(&self) -> Symbols {
        symbols(&self.0)
    }
}

/// The functions of the samples' stacks. Reads the files of the program and its libraries.
pub(crate) fn symbols(samples: &Samples) -> Symbols {
    let stacks = samples.sites.iter().map(|site| &site.stack);
    symbolize::symbolize(&Modules::now(), stacks.flatten().map(|address| address - 1))
}

fn counts(site: &SiteView) -> Site {
    let c = &site.counts;
    Site {
        stack: Vec::new(),
        slot_bytes: site.slot_bytes as u64,
        allocs: c.allocs as i64,
        frees: c.frees as i64,
        requested: c.requested as i64 - c.requested_freed as i64,
        held: site.held,
    }
}

/// Writes the heap profile of this moment as `go tool pprof` reads it; see [`Profile::write_pprof`]
/// (Go: `pprof.WriteHeapProfile`).
///
/// # Errors
/// What `to` refuses.
pub fn write_heap_profile(to: impl Write) -> io::Result<()> {
    Profile::now().write_pprof(to)
}
