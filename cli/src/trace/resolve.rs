//! Addresses made into ids: what a recorder sees of an object is where it is, and
//! addresses come again.
//!
//! An id belongs to one object from its allocation to its free, and is then taken again, the last one
//! freed first, so that ids stay below the most objects that lived at once.
//!
//! A recorder may miss events: those before it was there, and those of a thread that was killed amid
//! one. An object at an address where another one is says that the other is gone; a
//! free of nothing known does nothing, and is counted.

use rustc_hash::FxHashMap;

use super::event::Act;

/// Ids that are not in use.
#[derive(Debug, Default)]
pub struct Ids {
    free: Vec<u32>,
    next: u32,
}

impl Ids {
    /// An id that no object has.
    pub fn take(&mut self) -> u32 {
        self.free.pop().unwrap_or_else(|| {
            let id = self.next;
            self.next += 1;
            id
        })
    }

    /// The id's object is gone.
    pub fn give_back(&mut self, id: u32) {
        self.free.push(id);
    }

    /// All ids ever taken are below this.
    pub fn count(&self) -> u32 {
        self.next
    }
}

/// The objects that a program has, by their addresses.
#[derive(Debug, Default)]
pub struct Objects {
    ids: Ids,
    at: FxHashMap<u64, u32>,
    /// What each thread is having resized: its address, and its id if it is known.
    resizing: FxHashMap<u32, (u64, Option<u32>)>,
    /// Frees of what was not known.
    pub unknown: u64,
}

impl Objects {
    /// All ids are below this.
    pub fn count(&self) -> u32 {
        self.ids.count()
    }

    /// An object is at this address from now on.
    pub fn allocate(
        &mut self,
        (address, size): (u64, u64),
        align: u8,
        zeroed: bool,
        mut act: impl FnMut(Act),
    ) {
        let id = self.ids.take();
        if let Some(gone) = self.at.insert(address, id) {
            act(Act::Free { id: gone });
            self.ids.give_back(gone);
        }
        act(Act::Allocate {
            id,
            size: size as usize,
            align,
            zeroed,
        });
    }

    /// The object at this address is gone.
    pub fn free(&mut self, address: u64, mut act: impl FnMut(Act)) {
        match self.at.remove(&address) {
            Some(id) => {
                act(Act::Free { id });
                self.ids.give_back(id);
            }
            None => self.unknown += 1,
        }
    }

    /// The thread is about to have the object at this address resized: others may be
    /// given the address before it is said where the object went.
    pub fn resize(&mut self, thread: u32, address: u64) {
        let id = self.at.remove(&address);
        self.resizing.insert(thread, (address, id));
    }

    /// The object that the thread was having resized is here now; 0 says that it
    /// stayed as it was.
    pub fn resized(&mut self, thread: u32, (address, size): (u64, u64), mut act: impl FnMut(Act)) {
        match (self.resizing.remove(&thread), address) {
            (Some((before, Some(id))), 0) => _ = self.at.insert(before, id),
            (_, 0) => {}
            (Some((_, Some(id))), _) => {
                if let Some(gone) = self.at.insert(address, id) {
                    act(Act::Free { id: gone });
                    self.ids.give_back(gone);
                }
                let size = size as usize;
                act(Act::Reallocate { id, size });
            }
            (Some((_, None)) | None, _) => {
                self.unknown += 1;
                self.allocate((address, size), 0, false, act);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allocated(objects: &mut Objects, address: u64) -> Vec<Act> {
        let mut acts = Vec::new();
        objects.allocate((address, 8), 0, false, |act| acts.push(act));
        acts
    }

    fn allocation(id: u32) -> Act {
        Act::Allocate {
            id,
            size: 8,
            align: 0,
            zeroed: false,
        }
    }

    #[test]
    fn an_address_freed_and_given_again_is_another_object() {
        let mut objects = Objects::default();
        assert_eq!(allocated(&mut objects, 64), [allocation(0)]);
        assert_eq!(allocated(&mut objects, 128), [allocation(1)]);
        let mut acts = Vec::new();
        objects.free(64, |act| acts.push(act));
        assert_eq!(acts, [Act::Free { id: 0 }]);
        assert_eq!(allocated(&mut objects, 192), [allocation(0)]);
        assert_eq!(allocated(&mut objects, 64), [allocation(2)]);
        assert_eq!(objects.count(), 3);
    }

    #[test]
    fn an_object_where_another_one_was_says_that_it_is_gone() {
        let mut objects = Objects::default();
        allocated(&mut objects, 64);
        assert_eq!(
            allocated(&mut objects, 64),
            [Act::Free { id: 0 }, allocation(1)]
        );
        objects.free(63, |act| panic!("{act:?}"));
        assert_eq!(objects.unknown, 1);
    }

    #[test]
    fn an_address_may_be_given_to_others_while_its_object_moves() {
        let mut objects = Objects::default();
        allocated(&mut objects, 64);
        objects.resize(7, 64);
        assert_eq!(allocated(&mut objects, 64), [allocation(1)]);
        let mut acts = Vec::new();
        objects.resized(7, (256, 99), |act| acts.push(act));
        assert_eq!(acts, [Act::Reallocate { id: 0, size: 99 }]);
        objects.free(64, |act| assert_eq!(act, Act::Free { id: 1 }));
        objects.free(256, |act| assert_eq!(act, Act::Free { id: 0 }));
    }

    #[test]
    fn a_resize_that_failed_leaves_the_object_where_it_was() {
        let mut objects = Objects::default();
        allocated(&mut objects, 64);
        objects.resize(0, 64);
        objects.resized(0, (0, 1 << 60), |act| panic!("{act:?}"));
        objects.free(64, |act| assert_eq!(act, Act::Free { id: 0 }));
        assert_eq!(objects.unknown, 0);
    }
}
