//! A fixed-capacity vector in an anonymous mapping, for what a replay needs but
//! must not have on the heap that it measures.

use std::io;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};

use memmap2::{Advice, MmapMut};

use crate::amount;

/// Up to a fixed number of `T`, outside any heap.
pub struct OffHeap<T> {
    map: MmapMut,
    len: usize,
    capacity: usize,
    holds: PhantomData<T>,
}

impl<T: Copy> OffHeap<T> {
    /// Room for that many. Pages are taken as it fills.
    ///
    /// # Errors
    /// The system's, with how much was asked for.
    pub fn with_capacity(capacity: usize) -> io::Result<Self> {
        const { assert!(align_of::<T>() <= 4096) };
        let bytes = capacity
            .max(1)
            .checked_mul(size_of::<T>())
            .ok_or(io::ErrorKind::OutOfMemory)?;
        let map = MmapMut::map_anon(bytes).map_err(|error| {
            let bytes = amount::bytes(bytes as u64);
            io::Error::new(
                error.kind(),
                format!("no {bytes} of address space beside the heap: {error}"),
            )
        })?;
        // Where each mapping may have huge pages, what little is held would count as whole ones. A kernel that refuses has
        // none.
        let _ = map.advise(Advice::NoHugePage);
        Ok(Self {
            map,
            len: 0,
            capacity,
            holds: PhantomData,
        })
    }

    /// How many there is room for.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// That many of one value, each written, so that no page is left to be
    /// taken in the course of the replay.
    pub fn filled(value: T, count: usize) -> io::Result<Self> {
        let mut filled = Self::with_capacity(count)?;
        for _ in 0..count {
            filled.push(value);
        }
        Ok(filled)
    }

    /// Empties it. What was written once does not have to be taken again.
    pub fn clear(&mut self) {
        self.len = 0;
    }

    /// Appends. Panics when full.
    pub fn push(&mut self, value: T) {
        assert!(
            self.len < self.capacity,
            "more than the mapping has room for"
        );
        // SAFETY: the mapping is page-aligned, `len` is below `capacity`, and
        // `capacity` values fit into it.
        unsafe { self.map.as_mut_ptr().cast::<T>().add(self.len).write(value) };
        self.len += 1;
    }
}

impl<T: Copy> Deref for OffHeap<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        // SAFETY: the first `len` values have been written by `push`, and the
        // mapping is borrowed as long as the slice.
        unsafe { std::slice::from_raw_parts(self.map.as_ptr().cast(), self.len) }
    }
}

impl<T: Copy> DerefMut for OffHeap<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as in `deref`, and the mapping is borrowed exclusively.
        unsafe { std::slice::from_raw_parts_mut(self.map.as_mut_ptr().cast(), self.len) }
    }
}

#[cfg(test)]
mod tests {
    use super::OffHeap;

    #[test]
    fn holds_what_was_pushed() {
        let mut squares = OffHeap::with_capacity(5000).unwrap();
        for n in 0..5000_u64 {
            squares.push(n * n);
        }
        assert_eq!(squares.len(), 5000);
        squares[4999] = 1;
        assert_eq!(squares[4998], 4998 * 4998);
        assert_eq!(squares[4999], 1);
    }

    #[test]
    fn nothing_fits_into_no_room() {
        let empty = OffHeap::filled(7_u8, 0).unwrap();
        assert!(empty.is_empty());
    }
}
