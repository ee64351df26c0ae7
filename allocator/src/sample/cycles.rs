//! Counts that are published when a cycle is over (Go: `memRecord`).
//!
//! An object that was just allocated looks as if it were there to stay, for it can only be found dead by a
//! later cycle. So that a profile does not lean towards what is new, it shows the heap as the last
//! completed cycle left it. With C the number of the sweep under way, or done last:
//!
//! - an allocation in C is published with C + 2: by then, a cycle began after it and was swept;
//! - what the sweep C frees is published with C + 1, when that sweep is done.
//!
//! So an object that dies before the next cycle is published with its allocation and its end at once.

/// Objects of one site since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Allocated.
    pub allocs: u64,
    /// Freed by sweeps.
    pub frees: u64,
    /// Bytes asked for, of those allocated.
    pub requested: u64,
    /// Bytes asked for, of those freed.
    pub requested_freed: u64,
}

impl Counts {
    /// None.
    pub const NONE: Self = Self {
        allocs: 0,
        frees: 0,
        requested: 0,
        requested_freed: 0,
    };

    fn add(&mut self, other: Self) {
        self.allocs += other.allocs;
        self.frees += other.frees;
        self.requested += other.requested;
        self.requested_freed += other.requested_freed;
    }
}

/// Counts, those of the cycles to come apart.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cycles {
    published: Counts,
    /// Those to be published with cycle c are at c modulo four.
    future: [Counts; 4],
    /// The last cycle whose counts are published.
    upto: u32,
}

impl Cycles {
    pub(crate) const fn new(cycle: u32) -> Self {
        Self {
            published: Counts::NONE,
            future: [Counts::NONE; 4],
            upto: cycle,
        }
    }

    fn settle(&mut self, cycle: u32) {
        let behind = cycle.wrapping_sub(self.upto).cast_signed();
        if behind <= 0 {
            return;
        }
        for c in 1..=behind.min(4) as u32 {
            let at = (self.upto.wrapping_add(c) % 4) as usize;
            self.published.add(core::mem::take(&mut self.future[at]));
        }
        self.upto = cycle;
    }

    fn future(&mut self, cycle: u32, ahead: u32) -> &mut Counts {
        self.settle(cycle);
        &mut self.future[(cycle.wrapping_add(ahead) % 4) as usize]
    }

    /// An object was allocated in `cycle`.
    pub(crate) fn allocated(&mut self, cycle: u32, requested: u64) {
        let to = self.future(cycle, 2);
        to.allocs += 1;
        to.requested += requested;
    }

    /// The sweep of `cycle` freed one.
    pub(crate) fn swept(&mut self, cycle: u32, requested: u64) {
        let to = self.future(cycle, 1);
        to.frees += 1;
        to.requested_freed += requested;
    }

    /// One was freed in `cycle`, without waiting for a sweep.
    pub(crate) fn freed(&mut self, cycle: u32, requested: u64) {
        let to = self.future(cycle, 2);
        to.frees += 1;
        to.requested_freed += requested;
    }

    /// What is published with `cycle` and before.
    pub(crate) fn published(&self, cycle: u32) -> Counts {
        let mut then = *self;
        then.settle(cycle);
        then.published
    }

    /// Everything up to now.
    pub(crate) fn all(&self) -> Counts {
        let mut all = self.published;
        self.future.iter().for_each(|counts| all.add(*counts));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_use(counts: Counts) -> u64 {
        counts.allocs - counts.frees
    }

    #[test]
    fn an_object_shows_once_a_cycle_began_after_it_and_was_swept() {
        let mut cycles = Cycles::new(7);
        cycles.allocated(7, 10);
        assert_eq!(cycles.published(8), Counts::NONE);
        assert_eq!(in_use(cycles.published(9)), 1);
        assert_eq!(cycles.published(9).requested, 10);
        assert_eq!(cycles.all(), cycles.published(9));
    }

    #[test]
    fn an_object_that_dies_before_the_next_cycle_never_shows_as_in_use() {
        let mut cycles = Cycles::new(0);
        cycles.allocated(3, 10);
        cycles.swept(4, 10);
        for cycle in 3..9 {
            assert_eq!(in_use(cycles.published(cycle)), 0);
        }
        assert_eq!(cycles.published(5).allocs, 1);
    }

    #[test]
    fn one_freed_at_once_never_shows_as_less_than_nothing() {
        let mut cycles = Cycles::new(0);
        cycles.allocated(3, 10);
        cycles.freed(3, 10);
        for cycle in 3..9 {
            assert_eq!(in_use(cycles.published(cycle)), 0);
        }
    }

    #[test]
    fn a_site_that_nobody_looked_at_for_long_catches_up() {
        let mut cycles = Cycles::new(u32::MAX - 1);
        cycles.allocated(u32::MAX - 1, 1);
        cycles.allocated(u32::MAX, 1);
        cycles.allocated(1000, 1);
        assert_eq!(cycles.published(1000).allocs, 2);
        assert_eq!(cycles.published(1002).allocs, 3);
        assert_eq!(cycles.all().allocs, 3);
    }
}
