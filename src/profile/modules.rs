//! The program and its libraries, as they are loaded now.

use goheap_allocator::lock::{Lock, Rank};
use goheap_allocator::os;
use std::ops::Range;

/// Bytes of a build id that are kept: most have 20.
const BUILD_ID: usize = 32;

/// One of them.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// Its path among [`Modules::names`]; empty for the program itself.
    name: Range<usize>,
    /// What its addresses in memory are above those in its file.
    pub base: usize,
    /// From its first segment to the end of its last.
    pub memory: Range<usize>,
    /// Its first executable segment.
    pub code: Range<usize>,
    /// Where that lies in the file.
    pub code_offset: u64,
    /// `.eh_frame_hdr`.
    pub unwind_table: Option<Range<usize>>,
    /// The end of the segment that this lies in.
    pub unwind_end: usize,
    build_id: [u8; BUILD_ID],
    build_id_len: usize,
}

impl Loaded {
    /// Its build id; empty if it has none.
    pub fn build_id(&self) -> &[u8] {
        &self.build_id[..self.build_id_len]
    }
}

/// All of them, by address.
#[derive(Debug)]
pub struct Modules {
    names: Vec<u8>,
    loaded: Vec<Loaded>,
    /// How many were loaded and unloaded before: as long as it stays, so do they.
    pub changes: u64,
}

/// Held while the dynamic linker's lock is, so that no process is forked that inherits that one.
static VISIT: Lock<()> = Lock::new(Rank::Modules, ());

impl Modules {
    /// Reads the linker's list. Allocates, but not while the linker's lock is held: who waits for that may hold
    /// one that an allocation needs.
    pub fn now() -> Self {
        let (mut modules, mut bytes) = (64, 8 << 10);
        loop {
            let mut found = Self {
                names: Vec::with_capacity(bytes),
                loaded: Vec::with_capacity(modules),
                changes: 0,
            };
            let visit = VISIT.lock();
            let mut fits = true;
            found.changes = os::for_each_module(&mut |module| {
                let name = module.name.to_bytes();
                fits &= found.loaded.len() < found.loaded.capacity()
                    && found.names.len() + name.len() <= found.names.capacity();
                if fits {
                    push(&mut found.names, &mut found.loaded, module);
                }
            });
            drop(visit);
            if fits {
                found.loaded.sort_unstable_by_key(|m| m.memory.start);
                return found;
            }
            (modules, bytes) = (modules * 4, bytes * 4);
        }
    }

    /// How many were loaded and unloaded so far.
    pub fn changes() -> u64 {
        let _visit = VISIT.lock();
        os::module_changes()
    }

    /// Each, by address.
    pub fn iter(&self) -> impl Iterator<Item = &Loaded> {
        self.loaded.iter()
    }

    /// The one that `address` lies in.
    pub fn at(&self, address: usize) -> Option<&Loaded> {
        let after = self
            .loaded
            .partition_point(|module| module.memory.start <= address);
        let module = self.loaded.get(after.checked_sub(1)?)?;
        module.memory.contains(&address).then_some(module)
    }

    /// A module's path; empty for the program itself.
    pub fn name(&self, module: &Loaded) -> &[u8] {
        &self.names[module.name.clone()]
    }
}

fn push(names: &mut Vec<u8>, loaded: &mut Vec<Loaded>, module: &os::Module) {
    let from = names.len();
    names.extend_from_slice(module.name.to_bytes());
    let mut build_id = [0; BUILD_ID];
    let build_id_len = module.build_id.len().min(BUILD_ID);
    build_id[..build_id_len].copy_from_slice(&module.build_id[..build_id_len]);
    loaded.push(Loaded {
        name: from..names.len(),
        base: module.base,
        memory: module.memory.clone(),
        code: module.code.clone(),
        code_offset: module.code_offset,
        unwind_table: module.unwind_table.clone(),
        unwind_end: module.unwind_end,
        build_id,
        build_id_len,
    });
}

/// The lock, for the span of a `fork`.
pub fn fork_lock() {
    VISIT.fork_lock();
}

/// Ends [`fork_lock`].
///
/// # Safety
/// The calling thread took it.
pub unsafe fn fork_unlock() {
    // SAFETY: the caller's contract.
    unsafe { VISIT.fork_unlock() };
}
