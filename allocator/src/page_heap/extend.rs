//! A run that goes on where it is: the pages behind it, if nobody has them. Go has nothing like it, since
//! its objects never grow; called for blocks that `realloc` finds too small.

use super::{PageHeap, Run, parts};

impl PageHeap {
    /// Takes the `pages` pages from `first` on. `None`: some are in use, or no part of the heap.
    pub(crate) fn take_at(&self, first: usize, pages: usize) -> Option<Run> {
        let mut state = self.state.lock();
        let tables = state.tables.as_mut()?;
        let idle = parts(first, pages).all(|(chunk, from, count)| {
            // What was never grown has no bit set, but nothing free either.
            chunk < tables.count
                && tables.summaries.chunk(chunk).max > 0
                && tables.chunk(chunk).used.count(from, count) == 0
        });
        if !idle {
            return None;
        }
        let released = state.take(first, pages);
        drop(state);
        Some(self.hand_out(first, pages, released, 0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::PAGE;
    use crate::arena::Arena;
    use crate::meta::Meta;
    use crate::os::Linux;

    #[test]
    fn pages_behind_a_run_are_taken_if_all_of_them_are_idle() {
        let (heap, arena, meta) = (PageHeap::new(), Arena::new(), Meta::new());
        let take = |pages| heap.alloc(&Linux, &meta, &arena, None, pages, 1);
        let first = take(10).expect("there is memory").first;
        let more = heap.take_at(first + 10, 5).expect("nobody has them");
        assert_eq!((more.first, more.pages, more.released), (first + 10, 5, 5));
        assert_eq!(heap.bytes.in_use.get(), 15 * PAGE as u64);
        assert_eq!(heap.take_at(first + 14, 2), None, "one of them is in use");
        assert_eq!(take(1).expect("there is memory").first, first + 15);
        assert_eq!(heap.take_at(first + 16, 1 << 20), None, "beyond the heap");
    }
}
