//! Sites and records. A *site* is what called for objects of one slot size: a stack (Go: `bucket`). A
//! *record* is a sampled object that no sweep has freed. Both lie in the heap's own memory; sites stay for
//! ever, records are used again.

use super::cycles::{Counts, Cycles};
use super::stack::Stack;
use crate::meta::{Kind, Meta};
use crate::os::{Os, OsError};
use core::ptr::null_mut;

/// Heads of chains that the table begins with.
const FIRST: usize = 1 << 10;
/// Records made at a time.
const BLOCK: usize = 127;

/// A site. Its stack lies behind it.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Site {
    /// The next with the same head.
    next: *mut Site,
    hash: u64,
    /// Bytes of a slot of its objects; of large ones, their spans'.
    pub slot_bytes: usize,
    depth: usize,
    pub cycles: Cycles,
    /// Bytes of span that its survivors keep, as last computed.
    pub held: f64,
    /// All of it, as it was when the heap was at its largest.
    pub peak: (Counts, f64),
}

impl Site {
    /// The stack, the innermost return address first.
    pub(crate) fn stack(&self) -> &[usize] {
        // Beyond what the reference stands for.
        let from = core::ptr::with_exposed_provenance(
            core::ptr::from_ref(self).addr() + size_of::<Self>(),
        );
        // SAFETY: `Table::site`, which exposed it, made it with so many addresses behind it.
        unsafe { core::slice::from_raw_parts(from, self.depth) }
    }
}

/// A sampled object.
#[derive(Debug)]
pub(crate) struct Record {
    /// The next in the same span, or among those not in use. In a span, under its class's lock.
    pub next: *mut Record,
    /// Null if it is not in use.
    pub site: *mut Site,
    /// Where the object lies.
    pub address: usize,
    /// Bytes asked for.
    pub requested: u64,
}

/// Records of one block, and the block made before it.
struct Block {
    before: *mut Block,
    records: [Record; BLOCK],
}

/// All sites and records; under the heap's lock for samples.
#[derive(Debug)]
pub(crate) struct Table {
    /// Chains of sites, as many as a power of two; null before there is a site.
    heads: *mut *mut Site,
    mask: usize,
    pub sites: usize,
    /// Return addresses of all sites' stacks.
    pub frames: usize,
    spare: *mut Record,
    blocks: *mut Block,
    /// Records in use.
    pub records: usize,
}

// SAFETY: what it points to is the heap's own memory, which is never unmapped and reached only
// through the table or, hanging on a span, under locks.
unsafe impl Send for Table {}

fn hash(stack: &[usize], slot_bytes: usize) -> u64 {
    // Bob Jenkins's one-at-a-time, a word at a time, as Go's `stkbucket` has it.
    let mix = |h: u64, word: usize| {
        let h = h.wrapping_add(word as u64);
        let h = h.wrapping_add(h << 10);
        h ^ h >> 6
    };
    let h = stack.iter().fold(mix(0, slot_bytes), |h, &pc| mix(h, pc));
    let h = h.wrapping_add(h << 3);
    h ^ h >> 11
}

impl Table {
    pub(crate) const fn new() -> Self {
        Self {
            heads: null_mut(),
            mask: 0,
            sites: 0,
            frames: 0,
            spare: null_mut(),
            blocks: null_mut(),
            records: 0,
        }
    }

    /// Writes a sampled object down: a record of it that hangs nowhere yet.
    pub(crate) fn record<O: Os>(
        &mut self,
        os: &O,
        meta: &Meta,
        cycle: u32,
        stack: &mut Stack,
        object: (usize, usize, u64),
    ) -> Result<*mut Record, OsError> {
        let (address, slot_bytes, requested) = object;
        // SAFETY: null, or a site, which is never unmapped; the table's lock is held.
        let known =
            unsafe { stack.site.as_ref() }.is_some_and(|site| site.slot_bytes == slot_bytes);
        if !known {
            stack.site = self.site(os, meta, cycle, stack.addresses(), slot_bytes)?;
        }
        let site = stack.site;
        if self.spare.is_null() {
            self.make_records(os, meta)?;
        }
        let record = self.spare;
        // SAFETY: sites and records are never unmapped, and the table's lock is held.
        unsafe {
            (*site).cycles.allocated(cycle, requested);
            self.spare = (*record).next;
            *record = Record {
                next: null_mut(),
                site,
                address,
                requested,
            };
        }
        self.records += 1;
        Ok(record)
    }

    /// Forgets a record whose object was freed: by the sweep of `cycle`, or at once.
    ///
    /// # Safety
    /// It came from [`Table::record`], was not forgotten since, and hangs on no span.
    pub(crate) unsafe fn forget(&mut self, record: *mut Record, cycle: u32, at_once: bool) {
        // SAFETY: the caller's contract; sites are never unmapped.
        let record = unsafe { &mut *record };
        // SAFETY: the same.
        let site = unsafe { &mut *record.site };
        if at_once {
            site.cycles.freed(cycle, record.requested);
        } else {
            site.cycles.swept(cycle, record.requested);
        }
        record.site = null_mut();
        record.next = self.spare;
        self.spare = record;
        self.records -= 1;
    }

    fn site<O: Os>(
        &mut self,
        os: &O,
        meta: &Meta,
        cycle: u32,
        stack: &[usize],
        slot_bytes: usize,
    ) -> Result<*mut Site, OsError> {
        if self.sites >= self.mask {
            self.grow(os, meta)?;
        }
        let hash = hash(stack, slot_bytes);
        // SAFETY: there are `mask + 1` heads.
        let head = unsafe { &mut *self.heads.add(hash as usize & self.mask) };
        let mut at = *head;
        // SAFETY: sites are never unmapped.
        while let Some(site) = unsafe { at.as_ref() } {
            if site.hash == hash && site.slot_bytes == slot_bytes && site.stack() == stack {
                return Ok(at);
            }
            at = site.next;
        }
        let bytes = size_of::<Site>() + size_of_val(stack);
        let site = meta.take(os, Kind::Profile, bytes)?.as_ptr().cast::<Site>();
        let _ = site.expose_provenance();
        // SAFETY: fresh metadata, aligned and long enough for the site and the stack behind it.
        unsafe {
            site.write(Site {
                next: *head,
                hash,
                slot_bytes,
                depth: stack.len(),
                cycles: Cycles::new(cycle),
                held: 0.0,
                peak: (Counts::NONE, 0.0),
            });
            site.add(1)
                .cast::<usize>()
                .copy_from_nonoverlapping(stack.as_ptr(), stack.len());
        }
        *head = site;
        self.sites += 1;
        self.frames += stack.len();
        Ok(site)
    }

    /// Twice as many chains. The old heads are lost, which is as much as the new ones at the most.
    fn grow<O: Os>(&mut self, os: &O, meta: &Meta) -> Result<(), OsError> {
        let heads = if self.heads.is_null() {
            FIRST
        } else {
            (self.mask + 1) * 2
        };
        let bytes = heads * size_of::<*mut Site>();
        let new = meta
            .take(os, Kind::Profile, bytes)?
            .as_ptr()
            .cast::<*mut Site>();
        self.for_each_site(|site| {
            let at: *mut Site = site;
            // SAFETY: there are so many new heads; fresh metadata is zeroed, which is null.
            unsafe {
                let head = new.add(site.hash as usize & (heads - 1));
                site.next = *head;
                *head = at;
            }
        });
        self.heads = new;
        self.mask = heads - 1;
        Ok(())
    }

    fn make_records<O: Os>(&mut self, os: &O, meta: &Meta) -> Result<(), OsError> {
        let block = meta
            .take(os, Kind::Profile, size_of::<Block>())?
            .as_ptr()
            .cast::<Block>();
        // SAFETY: fresh metadata, aligned and long enough; zeroes are records that are not in use.
        let block = unsafe {
            (*block).before = self.blocks;
            &mut *block
        };
        self.blocks = block;
        for record in &mut block.records {
            record.next = self.spare;
            self.spare = record;
        }
        Ok(())
    }

    /// Each site there is.
    pub(crate) fn for_each_site(&mut self, mut f: impl FnMut(&mut Site)) {
        if self.heads.is_null() {
            return;
        }
        for head in 0..=self.mask {
            // SAFETY: there are so many heads.
            let mut at = unsafe { *self.heads.add(head) };
            // SAFETY: sites are never unmapped, and the table is borrowed mutably.
            while let Some(site) = unsafe { at.as_mut() } {
                at = site.next;
                f(site);
            }
        }
    }

    /// Each sampled object, with its site.
    pub(crate) fn for_each_record(&mut self, mut f: impl FnMut(&Record, &mut Site)) {
        let mut at = self.blocks;
        // SAFETY: blocks are never unmapped.
        while let Some(block) = unsafe { at.as_ref() } {
            for record in &block.records {
                // SAFETY: null, or a site, which is never unmapped; the table is borrowed mutably.
                if let Some(site) = unsafe { record.site.as_mut() } {
                    f(record, site);
                }
            }
            at = block.before;
        }
    }

    /// What is published of a site with `cycle`, or all of it.
    pub(crate) fn counts(site: &Site, cycle: Option<u32>) -> Counts {
        match cycle {
            Some(cycle) => site.cycles.published(cycle),
            None => site.cycles.all(),
        }
    }
}
