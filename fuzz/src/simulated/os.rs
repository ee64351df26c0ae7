//! An operating system that is not there: memory from the C library, refusals on demand, a clock
//! that moves when told to, and no patience with illegal moves.

use goheap_allocator::os::{Advice, Range};
use goheap_allocator::{Os, OsError};
use std::alloc::{GlobalAlloc, Layout, System};
use std::collections::BTreeMap;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

/// The largest reservation granted: programs hold less.
const LARGEST: usize = if cfg!(miri) { 16 << 20 } else { 256 << 20 };
/// ENOMEM.
const NO_MEMORY: i32 = 12;

/// Address → what the C library gave for it.
type Blocks = BTreeMap<usize, Block>;

struct Block {
    given: *mut u8,
    layout: Layout,
    bytes: usize,
    /// Bytes of it that may be used, in pieces by where they begin; the whole of a mapping.
    committed: BTreeMap<usize, usize>,
}

// SAFETY: the pointers are this structure's own blocks, under its lock.
unsafe impl Send for Block {}

/// The operating system of one simulated heap.
pub(super) struct SimulatedOs {
    /// Bytes of a physical page.
    page: usize,
    blocks: Mutex<Blocks>,
    /// Calls to refuse from now on.
    to_refuse: AtomicUsize,
    /// Calls refused since the start.
    pub(super) refused: AtomicU64,
}

impl SimulatedOs {
    pub(super) fn new(page: usize) -> Self {
        Self {
            page,
            blocks: Mutex::default(),
            to_refuse: AtomicUsize::new(0),
            refused: AtomicU64::new(0),
        }
    }

    /// Refuses the next `calls` calls.
    pub(super) fn fail_next(&self, calls: usize) {
        self.to_refuse.store(calls, Relaxed);
    }

    /// Whether the heap was granted all the room that a program needs. Where refusals came as it started, it
    /// took less, and may run out of it at any time.
    pub(super) fn granted_room(&self) -> bool {
        self.blocks().values().any(|block| block.bytes >= LARGEST)
    }

    fn ask(&self, operation: &'static str, bytes: usize) -> Result<(), OsError> {
        let refused = OsError {
            operation,
            address: 0,
            bytes,
            errno: NO_MEMORY,
        };
        if operation == "reserve" && bytes > LARGEST {
            return Err(refused);
        }
        let left = self
            .to_refuse
            .fetch_update(Relaxed, Relaxed, |n| n.checked_sub(1));
        if left.is_ok() {
            self.refused.fetch_add(1, Relaxed);
            return Err(refused);
        }
        Ok(())
    }

    fn blocks(&self) -> std::sync::MutexGuard<'_, Blocks> {
        self.blocks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn block(&self, bytes: usize, align: usize, whole: bool) -> Result<NonNull<u8>, OsError> {
        // The C library zeroes what it aligns, page by page; so it is aligned here.
        let layout = Layout::from_size_align(bytes + align, 16).expect("less than LARGEST");
        // SAFETY: the layout has a size.
        let given = unsafe { System.alloc_zeroed(layout) };
        let at = given.map_addr(|a| a.next_multiple_of(align));
        let committed = if whole {
            [(at.addr(), bytes)].into()
        } else {
            BTreeMap::new()
        };
        let found = NonNull::new(at).filter(|_| !given.is_null());
        let Some(found) = found else {
            return Err(OsError {
                operation: "map",
                address: 0,
                bytes,
                errno: NO_MEMORY,
            });
        };
        given.expose_provenance();
        let block = Block {
            given,
            layout,
            bytes,
            committed,
        };
        self.blocks().insert(at.addr(), block);
        Ok(found)
    }

    /// What is done to a part of a block: to whole pages.
    fn with<T>(&self, at: usize, bytes: usize, what: impl FnOnce(&mut Block) -> T) -> T {
        let page = self.page;
        assert!(
            at.is_multiple_of(page) && bytes.is_multiple_of(page),
            "{bytes} bytes at {at:#x} are no whole pages of {page}"
        );
        let mut blocks = self.blocks();
        let block = blocks.range_mut(..=at).next_back();
        match block {
            Some((&start, block)) if at + bytes <= start + block.bytes => what(block),
            _ => panic!("{bytes} bytes at {at:#x} were never reserved"),
        }
    }
}

impl Drop for SimulatedOs {
    fn drop(&mut self) {
        for block in self.blocks().values() {
            // SAFETY: given with this layout; the heap that used it is gone.
            unsafe { System.dealloc(block.given, block.layout) };
        }
    }
}

impl SimulatedOs {
    unsafe fn release_one(
        &self,
        at: NonNull<u8>,
        bytes: usize,
        advice: Advice,
    ) -> Result<(), OsError> {
        self.ask("release", bytes)?;
        let start = at.as_ptr().addr();
        self.with(start, bytes, |block| {
            let mut reached = start;
            while reached < start + bytes {
                let piece = block.committed.range(..=reached).next_back();
                let end = piece.map_or(0, |(a, n)| a + n);
                assert!(
                    end > reached,
                    "{bytes} bytes at {start:#x} are released, not all committed"
                );
                reached = end;
            }
        });
        if advice == Advice::DontNeed {
            // SAFETY: committed, and wanted by nobody, says the caller.
            unsafe { at.as_ptr().write_bytes(0, bytes) };
        }
        Ok(())
    }
}

// SAFETY: blocks come from the C library: nobody else has them, they are as long and aligned as asked
// for, zeroed, and zeroed again when they are released.
unsafe impl Os for SimulatedOs {
    fn reserve(&self, _hint: usize, bytes: usize, align: usize) -> Result<NonNull<u8>, OsError> {
        self.ask("reserve", bytes)?;
        self.block(bytes, align, false)
    }

    unsafe fn unreserve(&self, at: NonNull<u8>, bytes: usize) {
        let block = self.blocks().remove(&at.as_ptr().addr());
        let block = block
            .filter(|b| b.bytes == bytes)
            .expect("reserved so, and not given back before");
        // SAFETY: given with this layout, and used by nobody, says the caller.
        unsafe { System.dealloc(block.given, block.layout) };
    }

    unsafe fn commit(&self, at: NonNull<u8>, bytes: usize) -> Result<(), OsError> {
        self.ask("commit", bytes)?;
        let at = at.as_ptr().addr();
        self.with(at, bytes, |block| {
            let twice = block
                .committed
                .range(..at + bytes)
                .next_back()
                .is_some_and(|(a, n)| a + n > at);
            assert!(!twice, "{bytes} bytes at {at:#x} are committed twice");
            block.committed.insert(at, bytes);
        });
        Ok(())
    }

    unsafe fn release(&self, ranges: &[Range], advice: Advice) -> Result<(), (usize, OsError)> {
        for (i, &(at, bytes)) in ranges.iter().enumerate() {
            // SAFETY: the caller's contract.
            unsafe { self.release_one(at, bytes, advice) }.map_err(|e| (i, e))?;
        }
        Ok(())
    }

    unsafe fn no_huge_pages(&self, _at: NonNull<u8>, _bytes: usize) {}

    fn map(&self, bytes: usize) -> Result<NonNull<u8>, OsError> {
        self.ask("map", bytes)?;
        self.block(bytes, self.page, true)
    }

    fn physical_page(&self) -> usize {
        self.page
    }

    fn huge_page(&self) -> usize {
        0
    }

    fn address_space(&self) -> usize {
        usize::MAX
    }

    fn commit_limit(&self) -> usize {
        usize::MAX
    }
}
