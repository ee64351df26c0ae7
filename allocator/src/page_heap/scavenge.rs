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
//! Runs go back in batches: one call for many costs the program less than many (see `os/release.rs`). Who is paced by
//! what Go's calls cost, one for each run, has them go one by one.
//! While the kernel works on runs, their pages are *held*: marked as used, and the lock is free.

use super::{PageHeap, State, parts};
use crate::arena::Arena;
use crate::os::{Os, OsError};
use crate::{CHUNK_PAGES, PAGE};
use core::ptr::NonNull;

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

    /// The highest run of a chunk that may go back, at or below page `below` of it, of `bytes` or a little more.
    fn releasable(&mut self, chunk: usize, below: usize, bytes: usize) -> Option<(usize, usize)> {
        let align = self.align();
        let huge = if self.huge > PAGE && self.huge > self.physical {
            self.huge / PAGE
        } else {
            0
        };
        let max = bytes.div_ceil(PAGE).min(CHUNK_PAGES);
        let t = self.tables.as_mut()?;
        let run = t.chunk(chunk).releasable(below, align, max, huge);
        if run.is_none() {
            let density = t.density(chunk);
            *density = density.set_empty();
        }
        run.map(|(from, pages)| (chunk * CHUNK_PAGES + from, pages))
    }

    /// Marks idle pages as used, so that nobody gets them while the kernel works on them.
    pub(super) fn hold(&mut self, first: usize, pages: usize) {
        let Some(t) = &mut self.tables else { return };
        for (c, from, count) in parts(first, pages) {
            t.chunk(c).used.set(from, count);
        }
        t.summarise(first, pages);
    }

    /// Ends [`State::hold`].
    fn let_go(&mut self, first: usize, pages: usize, released: bool) {
        let Some(t) = &mut self.tables else { return };
        for (c, from, count) in parts(first, pages) {
            t.chunk(c).used.clear(from, count);
            if released {
                t.chunk(c).released.set(from, count);
            }
        }
        t.summarise(first, pages);
    }

    /// The OS would not have the first of these, nor was it asked for the others: its chunk is spared in this generation,
    /// they are looked at again.
    fn retained_after_all(&mut self, runs: &[(usize, usize)]) {
        let last_page = |&(first, pages): &(usize, usize)| first + pages - 1;
        let (Some(&(refused, _)), Some(highest)) = (runs.first(), runs.iter().map(last_page).max())
        else {
            return;
        };
        if let Some(t) = &mut self.tables {
            let density = t.density(refused / CHUNK_PAGES);
            *density = density.set_empty();
        }
        let cursors = &mut self.scavenge;
        cursors.patient = cursors.patient.max(Some(highest));
        cursors.forced = cursors.forced.max(Some(highest));
    }
}

/// Runs that are handed back together.
const BATCH: usize = 32;
/// Bytes of them, or a little more: what the kernel works on, nobody can allocate.
const BATCH_BYTES: usize = 1 << 20;

impl PageHeap {
    /// Ends a generation of densities: what was freed in it may be released in the next.
    pub fn next_generation(&self) {
        let mut state = self.state.lock();
        let c = &mut state.scavenge;
        c.generation = c.generation.wrapping_add(1);
        c.patient = c.patient.max(c.freed);
        c.freed = None;
    }

    /// Releases idle pages until `bytes` are gone, nothing is left, or `stop` says so after a system call.
    /// Returns the bytes released. `force` takes dense chunks too; `batched`: a call is for up to 32 runs, not for one.
    ///
    /// # Errors
    /// The OS's refusal, with what was released before it: the run stays retained.
    pub fn scavenge<O: Os>(
        &self,
        os: &O,
        arena: &Arena,
        bytes: usize,
        force: bool,
        batched: bool,
        mut stop: impl FnMut() -> bool,
    ) -> Result<usize, (usize, OsError)> {
        let mut released = 0;
        while released < bytes {
            let mut batch = [(0, 0); BATCH];
            let most = if batched { BATCH } else { 1 };
            let runs = self.hold_some(&mut batch[..most], bytes - released, force);
            if runs == 0 {
                break;
            }
            match self.release_held(os, arena, &batch[..runs]) {
                Ok(n) => released += n,
                Err((n, e)) => return Err((released + n, e)),
            }
            if stop() {
                break;
            }
        }
        Ok(released)
    }

    /// Holds the highest releasable runs, of `bytes` in all or a little more. Returns how many.
    fn hold_some(&self, batch: &mut [(usize, usize)], bytes: usize, force: bool) -> usize {
        let (mut runs, mut left) = (0, bytes.min(BATCH_BYTES));
        while runs < batch.len() && left > 0 {
            // Not for all of them: somebody may want to allocate.
            let mut state = self.state.lock();
            let Some((chunk, below)) = state.candidate(force) else {
                break;
            };
            if let Some((first, pages)) = state.releasable(chunk, below, left) {
                state.hold(first, pages);
                batch[runs] = (first, pages);
                runs += 1;
                left = left.saturating_sub(pages * PAGE);
            }
        }
        runs
    }

    /// Has the OS take what backs runs that are held, and lets go of them. Returns the bytes released.
    ///
    /// # Errors
    /// The OS's refusal, with what was released before it. The rest stays retained.
    pub(super) fn release_held<O: Os>(
        &self,
        os: &O,
        arena: &Arena,
        runs: &[(usize, usize)],
    ) -> Result<usize, (usize, OsError)> {
        let mut ranges = [(NonNull::dangling(), 0); BATCH];
        for (range, &(first, pages)) in ranges.iter_mut().zip(runs) {
            // No page of the arena is at address 0.
            let at = NonNull::new(arena.address_of(first) as *mut u8);
            *range = (at.unwrap_or(NonNull::dangling()), pages * PAGE);
        }
        // SAFETY: idle pages of grown chunks, which are held: nobody has or gets them.
        let done = unsafe { os.release(&ranges[..runs.len()], self.advice()) };

        let released = done.map_or_else(|(n, _)| n, |()| runs.len());
        let mut state = self.state.lock();
        for (i, &(first, pages)) in runs.iter().enumerate() {
            state.let_go(first, pages, i < released);
        }
        state.retained_after_all(&runs[released..]);
        let bytes = runs[..released]
            .iter()
            .map(|&(_, pages)| pages * PAGE)
            .sum();
        self.bytes.released.add(bytes);
        self.released_ever.add(bytes);
        done.map_or_else(|(_, e)| Err((bytes, e)), |()| Ok(bytes))
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
            let released = heap.scavenge(&Linux, &arena, usize::MAX, force, true, || false);
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
