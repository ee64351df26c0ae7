//! Giving idle pages back to the OS, highest address first (Go:
//! `mgcscavenge.go`, `pageAlloc.scavenge` and `scavengeIndex`).
//!
//! Two cursors walk down over the chunks. The patient one serves the background
//! scavenger and growth: it passes over chunks that are, or in the last cycle
//! were, densely used, and learns of freed memory only when a cycle ends (or at
//! once, and takes dense chunks, where the policy is an older one's). The
//! forced one serves `free_os_memory` and the memory limit: it takes everything, and so looks at the pages where
//! the other looks at a word a chunk, which says that there is nothing once the patient one has come to
//! the chunk's first page, though pages behind it have been freed since.
//! While the kernel works on a run, its pages are marked as used, and the lock
//! is free.

use super::{PageHeap, State};
use crate::arena::Arena;
use crate::os::{Os, OsError};
use crate::{CHUNK_PAGES, PAGE};

/// Where the next look for releasable pages begins.
#[derive(Debug)]
pub(crate) struct Cursors {
    /// Pages above these have nothing to release. `None`: nothing at all.
    patient: Option<usize>,
    pub(crate) forced: Option<usize>,
    /// The highest page freed in this generation.
    freed: Option<usize>,
    /// Counts cycles; a chunk's density is told apart by it.
    pub generation: u32,
    /// The patient cursor spares dense chunks, and learns of freed pages a generation later.
    pub spares_dense: bool,
}

impl Cursors {
    pub const fn new() -> Self {
        Self {
            patient: None,
            forced: None,
            freed: None,
            generation: 0,
            spares_dense: true,
        }
    }

    pub fn freed(&mut self, page: usize) {
        self.freed = self.freed.max(Some(page));
        if !self.spares_dense {
            self.patient = self.patient.max(Some(page));
        }
        self.forced = self.forced.max(Some(page));
    }
}

impl State {
    /// The highest chunk that may have something to release, and the page within it to look below.
    fn candidate(&mut self, force: bool) -> Option<(usize, usize)> {
        let generation = self.scavenge.generation;
        let dense_too = !self.scavenge.spares_dense;
        let align = self.align();
        let cursor = if force {
            self.scavenge.forced
        } else {
            self.scavenge.patient
        }?;
        let t = self.tables.as_mut()?;
        let top = cursor / CHUNK_PAGES;
        let highest_in = |c| {
            if c == top {
                cursor % CHUNK_PAGES
            } else {
                CHUNK_PAGES - 1
            }
        };
        let chunk = (0..=top).rev().find(|&c| {
            if force {
                // What was never grown has no bit set, but nothing free either.
                let some = t.summaries.chunk(c).max > 0
                    && t.chunk(c).releasable(highest_in(c), align, 1, 0).is_some();
                if !some {
                    let density = t.density(c);
                    *density = density.set_empty();
                }
                some
            } else {
                t.density(c).should_scavenge(generation, dense_too)
            }
        });
        let below = chunk.map(|c| c * CHUNK_PAGES + highest_in(c));
        *(if force {
            &mut self.scavenge.forced
        } else {
            &mut self.scavenge.patient
        }) = below;
        chunk.zip(below.map(|b| b % CHUNK_PAGES))
    }
}

impl State {
    /// Pages that go back together: those of a physical page, if that is larger.
    pub(crate) fn align(&self) -> usize {
        (self.physical / PAGE).max(1)
    }
}

impl PageHeap {
    /// Ends a generation of densities: what was freed in it may be released in the next.
    pub fn next_generation(&self) {
        let mut state = self.state.lock();
        let c = &mut state.scavenge;
        c.generation = c.generation.wrapping_add(1);
        c.patient = c.patient.max(c.freed);
        c.freed = None;
    }

    /// Releases idle pages until `bytes` are gone, nothing is left, or `stop` says so after a run.
    /// Returns the bytes released. `force` takes dense chunks too.
    ///
    /// # Errors
    /// The OS's refusal, with what was released before it: the run stays retained.
    pub fn scavenge<O: Os>(
        &self,
        os: &O,
        arena: &Arena,
        bytes: usize,
        force: bool,
        mut stop: impl FnMut() -> bool,
    ) -> Result<usize, (usize, OsError)> {
        let mut released = 0;
        while released < bytes {
            let Some((chunk, below)) = self.state.lock().candidate(force) else {
                break;
            };
            match self.release_in(os, arena, chunk, below, bytes - released) {
                Ok(n) => released += n,
                Err(e) => return Err((released, e)),
            }
            if stop() {
                break;
            }
        }
        Ok(released)
    }

    /// Releases the highest releasable run of one chunk, at or below page `below` of it.
    fn release_in<O: Os>(
        &self,
        os: &O,
        arena: &Arena,
        chunk: usize,
        below: usize,
        bytes: usize,
    ) -> Result<usize, OsError> {
        let mut state = self.state.lock();
        let align = state.align();
        let huge = if state.huge > PAGE && state.huge > state.physical {
            state.huge / PAGE
        } else {
            0
        };
        let max = bytes.div_ceil(PAGE).min(CHUNK_PAGES);
        let Some(t) = &mut state.tables else {
            return Ok(0);
        };
        let Some((from, pages)) = t.chunk(chunk).releasable(below, align, max, huge) else {
            let d = t.density(chunk);
            *d = d.set_empty();
            return Ok(0);
        };
        let first = chunk * CHUNK_PAGES + from;
        if let Err(e) = self.release_run(os, arena, state, first, pages) {
            if let Some(t) = &mut self.state.lock().tables {
                let d = t.density(chunk);
                *d = d.set_empty();
            }
            return Err(e);
        }
        Ok(pages * PAGE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::meta::Meta;
    use crate::os::Linux;

    /// The background's pass comes upon a chunk, of which pages above are freed meanwhile.
    #[test]
    fn what_the_patient_pass_has_not_seen_goes_back_when_forced() {
        let (heap, meta, arena) = (PageHeap::new(), Meta::new(), Arena::new());
        heap.configure(crate::os::Advice::DontNeed, false, true);
        let take = |pages| {
            let run = heap.alloc(&Linux, &meta, &arena, None, pages, 1);
            run.expect("there is memory").first
        };
        let release = |force| {
            let released = heap.scavenge(&Linux, &arena, usize::MAX, force, || false);
            released.expect("the system takes memory back") / PAGE
        };
        let [low, _between, high, _end] = [take(10), take(70), take(10), take(100)];
        heap.free(&[(low, 10)]);
        heap.next_generation();
        heap.next_generation();
        heap.free(&[(high, 10)]);
        assert_eq!(release(false), 10);
        assert_eq!(release(true), 10);
        assert_eq!(release(true), 0);
    }
}
