//! Whether all that the heap writes down agrees.
//!
//! The same fact stands in several places: a page is in use by its chunk's bitmap, by the summaries
//! above it, by the density beside it, by the page table and by the span whose pages it is among.
//! The check holds every lock, walks all of them, and says of the first contradiction what is where.
//!
//! Threads allocate without a lock from what their caches hold. So what touches a cache's own words can
//! be held against the rest only while nobody is in the middle of an allocation: [`Others`] says which it is.
//!
//! | file | holds against each other |
//! | --- | --- |
//! | `pages.rs` | bitmaps, summaries, densities, cursors, the page table, bytes in use, retained and released |
//! | `spans.rs` | lists, states, sweeps, allocation words, death bytes, objects counted |
//! | `caches.rs` | held spans, bins, logs, tags, page caches, caches counted |
//!
//! Called by tests, and at each cycle where `GOHEAP_CHECK=1` asks for it.

mod caches;
mod pages;
mod spans;
#[cfg(test)]
mod tests;

use super::Heap;
use crate::os::{Line, Os};
use core::fmt::{self, Write};

/// What other threads do during a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Others {
    /// Nothing: none is in the middle of an allocation, a free, a sweep or a release.
    Rest,
    /// They may allocate and free. What lies in their caches is left out.
    Run,
}

/// What a check found.
#[derive(Debug)]
pub struct Findings {
    first: Line,
    count: usize,
}

impl Findings {
    const fn none() -> Self {
        Self {
            first: Line::new(),
            count: 0,
        }
    }

    /// The first contradiction, in words; `None` if there is none.
    pub fn first(&self) -> Option<&str> {
        (self.count > 0).then(|| core::str::from_utf8(self.first.text()).unwrap_or("(cut)"))
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Nothing, or all that was found.
    ///
    /// # Errors
    /// These findings, if there are any.
    #[expect(
        clippy::result_large_err,
        reason = "where the heap is broken, nothing can be allocated"
    )]
    pub fn into_result(self) -> Result<(), Findings> {
        match self.count {
            0 => Ok(()),
            _ => Err(self),
        }
    }

    fn require(&mut self, holds: bool, otherwise: fmt::Arguments) {
        if holds {
            return;
        }
        if self.count == 0 {
            // Writing to a line cannot fail: it cuts what does not fit.
            let _ = self.first.write_fmt(otherwise);
        }
        self.count += 1;
    }

    fn equal(&mut self, what: &str, counted: u64, found: u64) {
        self.require(
            counted == found,
            format_args!("{what}: counted {counted}, found {found}"),
        );
    }
}

/// The first contradiction, and how many more there are.
impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.first(), self.count) {
            (None, _) => f.write_str("all agrees"),
            (Some(first), 1) => f.write_str(first),
            (Some(first), n) => write!(f, "{first} (and {} more)", n - 1),
        }
    }
}

impl core::error::Error for Findings {}

impl<O: Os> Heap<O> {
    /// Holds all structures against each other. Takes every lock; the calling thread holds none.
    /// Costs a look at each page and each slot of the heap, and allocates nothing.
    pub fn check(&self, others: Others) -> Findings {
        let mut findings = Findings::none();
        self.fork_lock();
        // SAFETY: every lock is held, and nothing else refers to what they guard; if the others
        // rest, so do their caches.
        unsafe {
            let spans = self.check_spans(others, &mut findings);
            self.check_pages(others, &spans, &mut findings);
            self.check_caches(others, &spans, &mut findings);
            self.fork_unlock();
        }
        findings
    }
}
