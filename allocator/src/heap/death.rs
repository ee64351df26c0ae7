//! Deaths: from a thread's log into spans, and the close of an epoch.

use super::Heap;
use crate::PAGE_SHIFT;
use crate::cache::{Cache, Drained, prefetch};
use crate::os::{Line, Os, stderr_line};
use crate::size_class::SizeClass;
use crate::span::{Misuse, Span, Tag};
use core::fmt::Write;
use core::sync::atomic::AtomicUsize;
use core::sync::atomic::Ordering::Relaxed;

/// Deaths dealt with at a time: enough to have their cache misses overlap, few
/// enough that what is fetched early is still there when it is used.
const GROUP: usize = 32;

/// What died in an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deaths {
    /// Bytes, by slot size.
    pub bytes: u64,
    /// Objects.
    pub objects: u64,
}

impl Deaths {
    /// Nothing.
    pub const NONE: Self = Self {
        bytes: 0,
        objects: 0,
    };
}

impl<O: Os> Heap<O> {
    /// Empties the calling thread's log into the spans.
    ///
    /// # Safety
    /// The calling thread owns `cache`.
    pub unsafe fn flush(&self, cache: &Cache) {
        let mut drained = cache.drained.lock();
        self.drain(cache, &mut drained);
        cache.restart_log();
        drained.upto = 0;
    }

    /// Deals with what the log has got; its owner may go on writing.
    fn drain(&self, cache: &Cache, drained: &mut Drained) {
        let entries = cache.logged(drained.upto);
        for group in entries.chunks(GROUP) {
            if self.eager.load(Relaxed) {
                self.free_group(group);
            } else {
                drained.deaths.bytes += self.bury_group(group, drained.tag);
                drained.deaths.objects += group.len() as u64;
            }
        }
        drained.upto += entries.len();
    }

    /// Writes deaths into their spans, in three passes that each ask for what the next one reads.
    /// Deaths that follow each other in one span, as most do, need but one pass.
    fn bury_group(&self, group: &[AtomicUsize], tag: Tag) -> u64 {
        let mut spans = [const { None::<&'static Span> }; GROUP];
        let (mut last_page, mut last) = (usize::MAX, None::<&'static Span>);
        let mut alike = true;
        for (entry, span) in group.iter().zip(&mut spans) {
            let address = entry.load(Relaxed);
            let page = address >> PAGE_SHIFT;
            if page != last_page {
                // SAFETY: an entry of the table is a header, which lives for ever, or null.
                let found = unsafe { self.arena.span_of(address).as_ref() };
                let Some(found) = found else {
                    report_and_abort(address, Misuse::Foreign)
                };
                alike &= last.is_none_or(|l| core::ptr::eq(l, found));
                (last_page, last) = (page, Some(found));
                prefetch(found);
            }
            *span = last;
        }
        let outcome = match last {
            Some(span) if alike => span.bury_all(group, tag),
            _ => bury_each(group, &spans, tag),
        };
        outcome.unwrap_or_else(|(address, misuse)| report_and_abort(address, misuse))
    }

    /// Closes the epoch: every death logged so far counts for the next sweep, every later one
    /// for the sweep after it. Returns the tag that is condemned and what died with it.
    /// Stops nobody: a thread that frees meanwhile waits for its own log at the most.
    ///
    /// Callers have seen to it that all spans are swept.
    pub fn close_epoch(&self) -> (Tag, Deaths) {
        let mut registry = self.registry.lock();
        let condemned = registry.tag;
        registry.tag = condemned.other();
        let mut all = Deaths::NONE;
        self.for_each_cache(|cache| {
            let mut drained = cache.drained.lock();
            self.drain(cache, &mut drained);
            let deaths = core::mem::replace(&mut drained.deaths, Deaths::NONE);
            all.bytes += deaths.bytes;
            all.objects += deaths.objects;
            drained.tag = condemned.other();
        });
        (condemned, all)
    }
}

/// Buries each death in its own span; the death bytes are asked for first.
fn bury_each(
    group: &[AtomicUsize],
    spans: &[Option<&'static Span>],
    tag: Tag,
) -> Result<u64, (usize, Misuse)> {
    let pairs = || {
        group
            .iter()
            .map(|e| e.load(Relaxed))
            .zip(spans.iter().flatten())
    };
    for (address, span) in pairs() {
        prefetch(span.death_at(span.slot_of(address)));
    }
    let mut bytes = 0;
    for (address, span) in pairs() {
        bytes += span.bury(address, tag).map_err(|m| (address, m))? as u64;
    }
    Ok(bytes)
}

/// Says what is wrong with a freed address, and ends the process: the heap can no
/// longer tell what is whose.
#[cold]
pub fn report_and_abort(address: usize, misuse: Misuse) -> ! {
    let mut line = Line::new();
    let described = |line: &mut Line, bytes: usize, class: SizeClass| {
        if class == SizeClass::LARGE {
            write!(line, "a large object of {bytes} bytes")
        } else {
            write!(
                line,
                "an object of {bytes} bytes, size class {}",
                class.index()
            )
        }
    };
    // Writing to a line cannot fail: it cuts what does not fit.
    let _ = write!(line, "goheap: ");
    let _ = match misuse {
        Misuse::DoubleFree { bytes, class } => {
            let _ = write!(line, "double free of {address:#x}: ");
            described(&mut line, bytes, class)
                .and_then(|()| write!(line, ", was freed before and not allocated since"))
        }
        Misuse::NotAllocated { bytes, class } => {
            let _ = write!(line, "invalid free of {address:#x}: the slot of ");
            described(&mut line, bytes, class).and_then(|()| {
                write!(
                    line,
                    " is not allocated (a double free across a cycle, or an address made up)"
                )
            })
        }
        Misuse::Interior {
            start,
            bytes,
            class,
        } => {
            let _ = write!(
                line,
                "invalid free of {address:#x}: an interior address, {} bytes into ",
                address - start
            );
            described(&mut line, bytes, class).and_then(|()| write!(line, " at {start:#x}"))
        }
        Misuse::Foreign => write!(
            line,
            "invalid free of {address:#x}: not allocated by this heap (no span holds it, size class unknown)"
        ),
    };
    let _ = writeln!(line);
    stderr_line(line.text());
    std::process::abort()
}
