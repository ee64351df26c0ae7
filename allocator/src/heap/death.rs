//! Deaths: from a thread's log into spans, and the close of an epoch.

use super::Heap;
use crate::PAGE_SHIFT;
use crate::cache::{Cache, Drained, prefetch};
use crate::os::{Line, Os, stderr_line};
use crate::size_class::SizeClass;
use crate::span::{Misuse, Tag};
use core::fmt::Write;
use core::sync::atomic::AtomicUsize;
use core::sync::atomic::Ordering::Relaxed;

/// Deaths dealt with at a time: enough to have their cache misses overlap, few
/// enough that what is fetched early is still there when it is used.
const GROUP: usize = 32;
/// The spans of a heap of so many bytes have their headers in a near cache as it is.
const NEAR: u64 = 16 << 20;

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

    /// Writes deaths into their spans. Where two that follow each other are in one page, most are,
    /// and each page's are looked up and buried together; else each by itself.
    fn bury_group(&self, group: &[AtomicUsize], tag: Tag) -> u64 {
        let page = |e: &AtomicUsize| e.load(Relaxed) >> PAGE_SHIFT;
        match group {
            [a, b, .., c, d] if page(a) == page(b) || page(c) == page(d) => {
                self.bury_pages(group, page, tag)
            }
            _ => self.bury_each(group, tag),
        }
    }

    fn bury_pages(
        &self,
        group: &[AtomicUsize],
        page: impl Fn(&AtomicUsize) -> usize,
        tag: Tag,
    ) -> u64 {
        let view = self.arena.view();
        let mut bytes = 0;
        for run in group.chunk_by(|a, b| page(a) == page(b)) {
            let first = run[0].load(Relaxed);
            // SAFETY: an entry of the table is a header, which lives for ever, or null.
            let Some(span) = (unsafe { view.span_of(first).as_ref() }) else {
                report_and_abort(first, Misuse::Foreign)
            };
            // SAFETY: all of the run is in the page that the span was found by.
            match unsafe { span.bury_all(run, tag) } {
                Ok(n) => bytes += n,
                Err((address, misuse)) => report_and_abort(address, misuse),
            }
        }
        bytes
    }

    /// In a large heap, a first pass asks for the spans' headers and for what lies behind them.
    fn bury_each(&self, group: &[AtomicUsize], tag: Tag) -> u64 {
        let view = self.arena.view();
        if self.pages.bytes.in_use.get() > NEAR {
            for entry in group {
                let span = view.span_of(entry.load(Relaxed));
                prefetch(span);
                prefetch(span.wrapping_add(1));
            }
        }
        let mut bytes = 0;
        for entry in group {
            let address = entry.load(Relaxed);
            // SAFETY: an entry of the table is a header, which lives for ever, or null.
            let Some(span) = (unsafe { view.span_of(address).as_ref() }) else {
                report_and_abort(address, Misuse::Foreign)
            };
            // SAFETY: the span was found by the address.
            match unsafe { span.bury(address, tag) } {
                Ok(n) => bytes += n as u64,
                Err(misuse) => report_and_abort(address, misuse),
            }
        }
        bytes
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
