//! Deaths: from a thread's log into spans, and the close of an epoch.

use super::Heap;
use crate::PAGE;
use crate::cache::{Cache, Drained};
use crate::os::{Line, Os, stderr_line};
use crate::prefetch;
use crate::size_class::SizeClass;
use crate::span::{Misuse, Plot, Span, Tag};
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
        if self.eager.load(Relaxed) {
            self.free_at_once(entries);
        } else {
            drained.deaths.bytes += self.bury(entries, drained.tag);
            drained.deaths.objects += entries.len() as u64;
        }
        drained.upto += entries.len();
    }

    /// Writes deaths into their spans; returns their bytes. In a large heap, what they will touch is
    /// asked for a group at a time: the spans' headers two groups ahead, and one ahead, where these
    /// say, the death bytes.
    fn bury(&self, entries: &[AtomicUsize], tag: Tag) -> u64 {
        if self.pages.bytes.in_use.get() <= NEAR {
            return self.bury_group(entries, tag);
        }
        let groups = || entries.chunks(GROUP).map(Some);
        let headers = groups().chain([None, None]);
        let deaths = [None].into_iter().chain(groups()).chain([None]);
        let graves = [None, None].into_iter().chain(groups());
        let mut bytes = 0;
        for ((header, death), grave) in headers.zip(deaths).zip(graves) {
            self.prefetch_headers(header.unwrap_or_default());
            self.prefetch_deaths(death.unwrap_or_default());
            bytes += self.bury_group(grave.unwrap_or_default(), tag);
        }
        bytes
    }

    fn prefetch_headers(&self, group: &[AtomicUsize]) {
        let view = self.arena.view();
        for entry in group {
            prefetch::for_read(view.span_of(entry.load(Relaxed)));
        }
    }

    fn prefetch_deaths(&self, group: &[AtomicUsize]) {
        let view = self.arena.view();
        for entry in group {
            let address = entry.load(Relaxed);
            // SAFETY: an entry of the table is a header, which lives for ever, or null.
            if let Some(span) = unsafe { view.span_of(address).as_ref() } {
                span.prefetch_death(address);
            }
        }
    }

    /// Deaths that follow each other in one page, most do, share a look-up.
    fn bury_group(&self, group: &[AtomicUsize], tag: Tag) -> u64 {
        let view = self.arena.view();
        let mut bytes = 0;
        let mut plot = Plot::NOWHERE;
        let mut last = usize::MAX;
        for entry in group {
            let address = entry.load(Relaxed);
            if (address ^ last) >= PAGE {
                // SAFETY: an entry of the table is a header, which lives for ever, or null.
                plot = match unsafe { view.span_of(address).as_ref() } {
                    Some(span) => span.plot(tag),
                    None => self.span_elsewhere(address).plot(tag),
                };
            }
            last = address;
            // SAFETY: the address is in the page that the span was found by.
            if !unsafe { plot.bury(address, tag) } {
                bury_rarity(plot.span(), address, tag);
            }
            bytes += plot.span().slot_bytes() as u64;
        }
        bytes
    }

    #[cold]
    #[inline(never)]
    fn span_elsewhere(&self, address: usize) -> &Span {
        // SAFETY: as in `bury_group`.
        match unsafe { self.arena.span_of(address).as_ref() } {
            Some(span) => span,
            None => report_and_abort(address, Misuse::Foreign),
        }
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

/// Buries what a [`Plot`](crate::span::Plot) would not: a large object, if nothing is wrong.
#[cold]
#[inline(never)]
fn bury_rarity(span: &Span, address: usize, tag: Tag) {
    if let Err(misuse) = span.bury_large(address, tag) {
        report_and_abort(address, misuse)
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
