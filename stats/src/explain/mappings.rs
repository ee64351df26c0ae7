//! `/proc/PID/smaps`: what each mapping has resident, and whose it is.

use core::ops::Range;

/// A thread's guard is a few pages; what C's allocator has reserved behind an arena is up to 64 MiB.
const LARGEST_GUARD: u64 = 1 << 20;
/// The kernel joins a stack with other memory above it, which may be any amount.
const LARGEST_STACK: u64 = 64 << 20;

/// Whose a mapping is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Owner {
    Heap,
    Metadata,
    Stack,
    CHeap,
    File,
    Binary,
    Other,
}

/// Resident bytes by whose mapping they are in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mappings {
    /// The heap's ranges.
    pub heap: u64,
    /// Of them, what was handed back by `MADV_FREE` and not taken yet.
    pub lazily_freed: u64,
    /// The heap's own structures.
    pub metadata: u64,
    /// Stacks.
    pub stacks: u64,
    /// `[heap]` and anonymous memory without a name.
    pub c_heap: u64,
    /// Files, and shared memory.
    pub files: u64,
    /// The program and its libraries, with their variables.
    pub binary: u64,
    /// What else has a name.
    pub others: u64,
}

/// What decides about the next mapping.
struct Before<'a> {
    end: u64,
    guard: bool,
    owner: Owner,
    path: &'a str,
}

impl Mappings {
    /// Reads the text of `/proc/PID/smaps`. `program` is what `/proc/PID/exe` leads to; `heap` is where the
    /// heap says it lies: a kernel that keeps no names does not tell.
    pub fn read(smaps: &str, program: &str, heap: Range<u64>) -> Self {
        let mut all = Self::default();
        let mut before = Before {
            end: 0,
            guard: false,
            owner: Owner::Other,
            path: "",
        };
        for line in smaps.lines() {
            if let Some((name, rest)) = line.split_once(':')
                && !name.contains(' ')
            {
                let kib = rest.trim().split(' ').next().unwrap_or("");
                let bytes = kib.parse::<u64>().unwrap_or(0).saturating_mul(1024);
                all.add(before.owner, name, bytes);
            } else if let Some(this) = begin(line, program, &heap, &before) {
                before = this;
            }
        }
        all
    }

    fn add(&mut self, owner: Owner, field: &str, bytes: u64) {
        let to = match (field, owner) {
            ("LazyFree", Owner::Heap) => &mut self.lazily_freed,
            ("Rss", Owner::Heap) => &mut self.heap,
            ("Rss", Owner::Metadata) => &mut self.metadata,
            ("Rss", Owner::Stack) => &mut self.stacks,
            ("Rss", Owner::CHeap) => &mut self.c_heap,
            ("Rss", Owner::File) => &mut self.files,
            ("Rss", Owner::Binary) => &mut self.binary,
            ("Rss", Owner::Other) => &mut self.others,
            _ => return,
        };
        *to += bytes;
    }

    /// All that is resident.
    pub fn total(&self) -> u64 {
        self.heap
            + self.metadata
            + self.stacks
            + self.c_heap
            + self.files
            + self.binary
            + self.others
    }
}

/// Reads `from-to perms offset device inode path`.
fn begin<'a>(
    line: &'a str,
    program: &str,
    heap: &Range<u64>,
    before: &Before<'a>,
) -> Option<Before<'a>> {
    let (range, rest) = line.split_once(' ')?;
    let (from, to) = range.split_once('-')?;
    let from = u64::from_str_radix(from, 16).ok()?;
    let end = u64::from_str_radix(to, 16).ok()?;
    let (perms, rest) = rest.split_once(' ')?;
    let path = rest.splitn(4, ' ').nth(3).unwrap_or("").trim_start();
    let follows = before.end == from;
    let owner = match path {
        "[anon:goheap: heap]" => Owner::Heap,
        "[anon:goheap: metadata]" | "[anon:goheap: guarded]" => Owner::Metadata,
        "[heap]" => Owner::CHeap,
        "[vdso]" => Owner::Binary,
        "" if heap.contains(&from) => Owner::Heap,
        // Variables that start as zero follow the file's part.
        "" if follows && before.owner == Owner::Binary && !before.path.is_empty() => Owner::Binary,
        // The C library guards a thread's stack by a range that nobody may touch.
        "" if follows
            && before.guard
            && perms.starts_with("rw")
            && end.saturating_sub(from) <= LARGEST_STACK =>
        {
            Owner::Stack
        }
        "" => Owner::CHeap,
        _ if path.starts_with("[stack") || path.starts_with("[anon: glibc: pthread stack") => {
            Owner::Stack
        }
        // Others name what they map, too: C's library, and Go's runtime, say.
        _ if path.starts_with("[anon:") => Owner::CHeap,
        _ if path.starts_with("[anon_shmem:") => Owner::File,
        _ if path.starts_with('[') => Owner::Other,
        _ if path == program || is_library(path) => Owner::Binary,
        _ => Owner::File,
    };
    Some(Before {
        end,
        guard: path.is_empty()
            && perms.starts_with("---")
            && end.saturating_sub(from) <= LARGEST_GUARD,
        owner,
        path,
    })
}

fn is_library(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    // An update has put another in its place.
    let name = name.strip_suffix(" (deleted)").unwrap_or(name);
    name.ends_with(".so") || name.contains(".so.")
}
