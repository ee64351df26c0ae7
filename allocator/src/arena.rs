//! Address ↔ page number, and page number → span.
//!
//! The heap's pages are numbered from 0. Reservations map numbers to addresses:
//! the first one is as large as the system grants (Go's arenas are 64 MiB each
//! and sparse; one flat range makes the look-up an addition and a shift), and
//! where a limit on address space made it small, others follow. Between two
//! reservations a chunk's worth of numbers is left out, so that no run of
//! pages crosses from one to the next.
//!
//! Look-ups take no lock: a reservation is written before the count that makes
//! it visible, and an entry of the span table belongs to whoever holds the pages.

use crate::meta::Meta;
use crate::os::{Os, OsError};
use crate::page_heap::shrink::cut;
use crate::span::{Entry, Span};
use crate::{CHUNK, CHUNK_PAGES, PAGE, PAGE_SHIFT};
use core::ops::Range;
use core::ptr::{NonNull, null_mut};
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use core::sync::atomic::{AtomicPtr, AtomicU64, AtomicUsize};

/// Where Go puts its heap on 64-bit systems, if that is free.
const HINT: usize = 0xc0_0000_0000;
/// Where it goes if that is to be random: above what a program's own addresses begin with, far below the
/// kernel's part and what it maps from there downwards.
const SCATTERED: core::ops::Range<usize> = 1 << 40..65 << 40;
/// The first reservation asked for: 1 TiB.
const LARGEST: usize = 1 << 40;
/// Where address space is limited, or what the system promises, the first reservation takes this part of it: files
/// and threads want some, too.
pub(crate) const SHARE: usize = 4;
/// Later reservations are at least this large, if the system grants it.
const LATER: usize = 64 << 20;
/// The tables cover this many times the first reservation, so that others may follow.
pub(crate) const ROOM: usize = 4;
/// How many reservations there may be. Each later one is at least a chunk.
const RESERVATIONS: usize = 64;

/// The kernel's errno for "out of memory", for what the tables have no room for.
const ENOMEM: i32 = 12;

#[derive(Debug)]
struct Reservation {
    base: AtomicUsize,
    first_page: AtomicUsize,
    pages: AtomicUsize,
}

/// The heap's address space.
#[derive(Debug)]
pub struct Arena {
    reservations: [Reservation; RESERVATIONS],
    count: AtomicUsize,
    /// By page, an [`Entry`].
    spans: AtomicPtr<AtomicU64>,
    /// Pages that the tables have room for.
    capacity: AtomicUsize,
    /// Where the first reservation is to lie, if that is free.
    hint: AtomicUsize,
}

/// A fresh reservation, by page numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Number of its first page.
    pub first: usize,
    /// How many pages it has.
    pub pages: usize,
}

impl Arena {
    /// No address space yet.
    pub const fn new() -> Self {
        Self {
            reservations: [const {
                Reservation {
                    base: AtomicUsize::new(0),
                    first_page: AtomicUsize::new(0),
                    pages: AtomicUsize::new(0),
                }
            }; RESERVATIONS],
            count: AtomicUsize::new(0),
            spans: AtomicPtr::new(null_mut()),
            capacity: AtomicUsize::new(0),
            hint: AtomicUsize::new(HINT),
        }
    }

    /// Lets the first reservation, which is yet to be made, lie where a random number says: at one of some
    /// sixteen million places.
    pub fn scatter(&self, random: u64) {
        let room = (SCATTERED.end - SCATTERED.start) / CHUNK;
        let chunk = ((u128::from(random) * room as u128) >> 64) as usize;
        self.hint.store(SCATTERED.start + chunk * CHUNK, Relaxed);
    }

    /// Makes the first reservation, halving (by quarters) what it asks for until the
    /// system grants it together with the tables, which `tables` makes for so many chunks.
    ///
    /// # Errors
    /// The refusal of the smallest try.
    pub fn start<O: Os, T>(
        &self,
        os: &O,
        meta: &Meta,
        at_least: usize,
        tables: impl Fn(usize) -> Result<T, OsError>,
    ) -> Result<(Extent, T), OsError> {
        let least = at_least.next_multiple_of(CHUNK);
        let may_have = os.address_space().min(os.commit_limit());
        let share = may_have / SHARE / CHUNK * CHUNK;
        let mut bytes = LARGEST.min(share).max(least);
        loop {
            match self.try_start(os, meta, bytes, &tables) {
                Ok(started) => return Ok(started),
                Err(e) if bytes == least => return Err(e),
                Err(_) => bytes = (bytes / 4).next_multiple_of(CHUNK).max(least),
            }
        }
    }

    fn try_start<O: Os, T>(
        &self,
        os: &O,
        meta: &Meta,
        bytes: usize,
        tables: impl Fn(usize) -> Result<T, OsError>,
    ) -> Result<(Extent, T), OsError> {
        let base = os.reserve(self.hint.load(Relaxed), bytes, CHUNK)?;
        let capacity = bytes / PAGE * ROOM;
        let made = meta.table::<O, AtomicU64>(os, capacity).and_then(|spans| {
            match tables(capacity / CHUNK_PAGES) {
                Ok(t) => Ok((spans, t)),
                Err(e) => {
                    // SAFETY: just mapped, used by nobody.
                    unsafe { os.unreserve(spans.cast(), capacity * size_of::<AtomicU64>()) };
                    Err(e)
                }
            }
        });
        let (spans, t) = match made {
            Ok(m) => m,
            Err(e) => {
                // SAFETY: just reserved, used by nobody.
                unsafe { os.unreserve(base, bytes) };
                return Err(e);
            }
        };
        self.spans.store(spans.as_ptr(), Relaxed);
        self.capacity.store(capacity, Relaxed);
        Ok((self.publish(base, 0, bytes / PAGE), t))
    }

    fn publish(&self, base: NonNull<u8>, first: usize, pages: usize) -> Extent {
        let n = self.count.load(Relaxed);
        let r = &self.reservations[n];
        r.base.store(base.as_ptr() as usize, Relaxed);
        r.first_page.store(first, Relaxed);
        r.pages.store(pages, Relaxed);
        // Release: pairs with Acquire in `reservation_of`.
        self.count.store(n + 1, Release);
        Extent { first, pages }
    }

    /// Makes another reservation, of `pages` at the least. Callers hold the page heap's lock.
    ///
    /// # Errors
    /// The refusal of the smallest try; `ENOMEM` if the tables are full.
    pub fn extend<O: Os>(&self, os: &O, pages: usize) -> Result<Extent, OsError> {
        let n = self.count.load(Relaxed);
        let last = &self.reservations[n - 1];
        let first = last.first_page.load(Relaxed) + last.pages.load(Relaxed) + CHUNK_PAGES;
        let room = self.capacity.load(Relaxed).saturating_sub(first) * PAGE;
        let full = OsError {
            operation: "reserve",
            address: 0,
            bytes: pages.saturating_mul(PAGE),
            errno: ENOMEM,
        };
        let least = pages
            .checked_mul(PAGE)
            .and_then(|b| b.checked_next_multiple_of(CHUNK))
            .filter(|&b| b <= room)
            .ok_or(full)?;
        if n == RESERVATIONS {
            return Err(full);
        }
        // As many as there may be are to hold three times what the first one does.
        let share = self.reservations[0].pages.load(Relaxed) * PAGE / 16;
        let wanted = LATER.max(share.next_multiple_of(CHUNK));
        let mut bytes = wanted.clamp(least, room / CHUNK * CHUNK);
        loop {
            match os.reserve(0, bytes, CHUNK) {
                Ok(base) => return Ok(self.publish(base, first, bytes / PAGE)),
                Err(e) if bytes == least => return Err(e),
                Err(_) => bytes = (bytes / 2).next_multiple_of(CHUNK).max(least),
            }
        }
    }

    /// Where the span table lies, of which only what is touched takes memory.
    pub fn span_table(&self) -> Range<usize> {
        let at = self.spans.load(Relaxed).addr();
        at..at + self.capacity.load(Relaxed) * size_of::<AtomicU64>()
    }

    /// Whether there is one reservation.
    pub fn is_one(&self) -> bool {
        self.count.load(Relaxed) == 1
    }

    /// Gives up all of the only reservation but its first `pages`, and what the span table has beyond
    /// `capacity` entries. Callers hold the page heap's lock.
    ///
    /// # Safety
    /// The pages beyond were never used.
    pub unsafe fn shrink<O: Os>(&self, os: &O, pages: usize, capacity: usize) {
        let r = &self.reservations[0];
        let old = r.pages.swap(pages, Relaxed);
        let end = NonNull::new(self.address_of(pages) as *mut u8);
        let old_capacity = self.capacity.swap(capacity, Relaxed);
        let spans = NonNull::new(self.spans.load(Relaxed));
        if let (Some(end), Some(spans)) = (end, spans) {
            // SAFETY: the end of a reservation and of a table, used by nobody.
            unsafe {
                os.unreserve(end, (old - pages) * PAGE);
                cut(os, os.physical_page(), spans, old_capacity, capacity);
            }
        }
    }

    /// The number of the page that holds `address`, if it lies in a reservation.
    #[inline(always)]
    pub fn page_of(&self, address: usize) -> Option<usize> {
        let r = &self.reservations[0];
        let page = address.wrapping_sub(r.base.load(Relaxed)) >> PAGE_SHIFT;
        if page < r.pages.load(Relaxed) {
            Some(page)
        } else {
            self.page_in_later(address)
        }
    }

    #[cold]
    fn page_in_later(&self, address: usize) -> Option<usize> {
        // Acquire: pairs with Release in `publish`.
        self.reservations[..self.count.load(Acquire)]
            .iter()
            .find_map(|r| {
                let page = address.wrapping_sub(r.base.load(Relaxed)) >> PAGE_SHIFT;
                (page < r.pages.load(Relaxed)).then(|| r.first_page.load(Relaxed) + page)
            })
    }

    /// The address of page `page`, which lies in a reservation.
    #[inline]
    pub fn address_of(&self, page: usize) -> usize {
        // Acquire: pairs with Release in `publish`.
        let r = self.reservations[..self.count.load(Acquire)]
            .iter()
            .rfind(|r| page >= r.first_page.load(Relaxed));
        r.map_or(0, |r| {
            r.base.load(Relaxed) + (page - r.first_page.load(Relaxed)) * PAGE
        })
    }

    /// The first page from `page` on whose address is a multiple of `align` pages (a power of two).
    pub fn aligned_from(&self, page: usize, align: usize) -> usize {
        let at = self.address_of(page);
        page + (at.next_multiple_of(align * PAGE) - at) / PAGE
    }

    #[inline(always)]
    fn slot(&self, page: usize) -> &AtomicU64 {
        debug_assert!(page < self.capacity.load(Relaxed));
        // SAFETY: the table has `capacity` entries and is never unmapped.
        unsafe { &*self.spans.load(Relaxed).add(page) }
    }

    /// The span that page `page` is of, which lies in a reservation; null if there is none.
    #[inline(always)]
    pub fn span_at(&self, page: usize) -> *mut Span {
        // Acquire: pairs with Release in `set_spans`; the span's fields are there.
        Entry::from_raw(self.slot(page).load(Acquire)).span()
    }

    /// The first reservation, for many look-ups.
    #[inline(always)]
    pub fn view(&self) -> View {
        let r = &self.reservations[0];
        View {
            base: r.base.load(Relaxed),
            pages: r.pages.load(Relaxed),
            spans: self.spans.load(Relaxed),
        }
    }

    /// What the span table says of the page of `address`.
    #[inline(always)]
    pub fn entry_of(&self, address: usize) -> Entry {
        match self.page_of(address) {
            // Acquire: as in `span_at`.
            Some(page) => Entry::from_raw(self.slot(page).load(Acquire)),
            None => Entry::NONE,
        }
    }

    /// The span that holds `address`, null where there is none.
    #[inline(always)]
    pub fn span_of(&self, address: usize) -> *mut Span {
        self.entry_of(address).span()
    }

    /// Enters `span` for its `pages` pages from `first` on, or that there is none. Callers own these pages.
    pub fn set_spans(&self, first: usize, pages: usize, span: Option<&'static Span>) {
        let entry = span.map_or(Entry::NONE, Entry::new);
        for page in 0..pages {
            // Release: pairs with Acquire in `span_at`.
            self.slot(first + page)
                .store(entry.further(page).to_raw(), Release);
        }
    }
}

/// The first reservation, in registers; others take a [look-up](Arena::entry_of) of their own.
#[derive(Clone, Copy, Debug)]
pub struct View {
    base: usize,
    pages: usize,
    spans: *const AtomicU64,
}

impl View {
    /// What the span table says of the page of `address`; `None` beyond the reservation.
    #[inline(always)]
    pub fn entry_of(self, address: usize) -> Option<Entry> {
        let page = address.wrapping_sub(self.base) >> PAGE_SHIFT;
        if page >= self.pages {
            return None;
        }
        // SAFETY: the table has an entry for each page. Acquire: pairs with Release in `set_spans`.
        Some(Entry::from_raw(
            unsafe { &*self.spans.add(page) }.load(Acquire),
        ))
    }
}

impl Default for Arena {
    fn default() -> Self {
        Self::new()
    }
}
