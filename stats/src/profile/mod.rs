//! The heap profile: who allocated what is in use (Go: `runtime/pprof`, profile "heap").
//!
//! What is known are samples, by site; what is told are estimates of all that they stand for. An object of
//! `s` bytes of slot is sampled with probability 1 − exp(−s/rate), so each sample stands for one object by
//! that: the estimate is unbiased, and its relative error about 1/√samples (Go: `scaleHeapSample`).
//!
//! | file | idea |
//! | --- | --- |
//! | `symbols.rs` | functions and files for addresses, and where a site's own frames begin |
//! | `pprof.rs` | the profile as `go tool pprof` and others read it: profile.proto, gzipped |
//! | `text.rs` | the same as text, as Go's `?debug=1` |

mod pprof;
mod symbols;
#[cfg(test)]
mod tests;
mod text;

pub use pprof::{SAMPLE_TYPES, Shown};
pub use symbols::{Frame, Mapping, Symbols};

use std::collections::HashMap;

/// The samples of one site: objects of one slot size that one stack called for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Site {
    /// Return addresses, the innermost first. Empty if the stack could not be had.
    pub stack: Vec<u64>,
    /// Bytes of a slot of its objects; of large ones, their spans'.
    pub slot_bytes: u64,
    /// Samples allocated.
    pub allocs: i64,
    /// Of these, freed by a sweep.
    pub frees: i64,
    /// Bytes asked for, of the samples in use.
    pub requested: i64,
    /// Bytes of span that the samples in use keep from going idle, each an equal share with all that lives
    /// in its span.
    pub held: f64,
}

/// What a site's samples stand for. Objects, and bytes by slot size.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Estimate {
    /// Objects allocated since the start.
    pub alloc_objects: f64,
    /// Their bytes.
    pub alloc_space: f64,
    /// Objects in use: not freed, as of the last completed cycle.
    pub inuse_objects: f64,
    /// Their bytes.
    pub inuse_space: f64,
    /// Bytes of span that they keep from going idle.
    pub held_space: f64,
    /// Of `inuse_space`, what was asked for; the rest is rounding.
    pub requested: f64,
}

impl Site {
    /// What the samples stand for.
    pub fn estimate(&self, rate: u64) -> Estimate {
        let scale = objects_per_sample(self.slot_bytes, rate);
        let bytes = self.slot_bytes as f64;
        let (allocs, in_use) = (self.allocs as f64, (self.allocs - self.frees) as f64);
        Estimate {
            alloc_objects: allocs * scale,
            alloc_space: allocs * scale * bytes,
            inuse_objects: in_use * scale,
            inuse_space: in_use * scale * bytes,
            held_space: self.held * scale,
            requested: self.requested as f64 * scale,
        }
    }
}

/// How many objects of this size a sample stands for.
pub fn objects_per_sample(slot_bytes: u64, rate: u64) -> f64 {
    if rate <= 1 || slot_bytes == 0 {
        return 1.0;
    }
    -(-(slot_bytes as f64) / rate as f64).exp_m1().recip()
}

/// All samples of a moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Samples {
    /// Bytes from one sample to the next, on average; 0: nothing was sampled, 1: everything.
    pub rate: u64,
    /// When, in nanoseconds since 1970.
    pub taken_ns: u64,
    /// How long before that the profile begins, in nanoseconds.
    pub duration_ns: u64,
    /// What else there is to say of it.
    pub comments: Vec<String>,
    /// The sites.
    pub sites: Vec<Site>,
}

impl Samples {
    /// What came since `earlier`, a profile of the same process. What is in use less than then is negative.
    pub fn since(&self, earlier: &Samples) -> Samples {
        let key = |site: &Site| (site.stack.clone(), site.slot_bytes);
        let mut before: HashMap<_, &Site> = earlier.sites.iter().map(|s| (key(s), s)).collect();
        let mut sites: Vec<Site> = self.sites.clone();
        for site in &mut sites {
            if let Some(old) = before.remove(&key(site)) {
                site.allocs -= old.allocs;
                site.frees -= old.frees;
                site.requested -= old.requested;
                site.held -= old.held;
            }
        }
        let nothing = |site: &Site| site.allocs == 0 && site.frees == 0 && site.held == 0.0;
        sites.retain(|site| !nothing(site));
        Samples {
            rate: self.rate,
            taken_ns: self.taken_ns,
            duration_ns: self.taken_ns.saturating_sub(earlier.taken_ns),
            comments: Vec::new(),
            sites,
        }
    }

    /// What all of them stand for.
    pub fn total(&self) -> Estimate {
        let mut total = Estimate::default();
        for site in &self.sites {
            let e = site.estimate(self.rate);
            total.alloc_objects += e.alloc_objects;
            total.alloc_space += e.alloc_space;
            total.inuse_objects += e.inuse_objects;
            total.inuse_space += e.inuse_space;
            total.held_space += e.held_space;
            total.requested += e.requested;
        }
        total
    }
}
