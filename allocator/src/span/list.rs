//! Lists of spans, through their own links.

use super::{Span, State};
use crate::prefetch;
use core::ptr::null_mut;
use core::sync::atomic::Ordering::Relaxed;

/// A list of spans that hang together by their own links; all under their class's lock.
/// Spans are pushed and popped at one end, as in Go's `spanSet`. The link back of the one at that end says
/// nothing: so popping does not write to the next one, which in a large heap is in no cache, and the first locked
/// instruction after it would wait for that.
#[derive(Debug)]
pub struct SpanList {
    head: *mut Span,
    len: usize,
}

// SAFETY: the pointers lead to headers that live for ever; the links are under the class's lock.
unsafe impl Send for SpanList {}

impl SpanList {
    /// No span.
    pub const fn new() -> Self {
        Self {
            head: null_mut(),
            len: 0,
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Adds a span that is in no list.
    pub fn push(&mut self, span: &'static Span, state: State) {
        let at = core::ptr::from_ref(span).cast_mut();
        span.next.store(self.head, Relaxed);
        // SAFETY: a list's head is a header or null.
        if let Some(head) = unsafe { self.head.as_ref() } {
            head.prev.store(at, Relaxed);
        }
        self.head = at;
        self.len += 1;
        span.state.store(state as u8, Relaxed);
    }

    /// Asks for the header of the span that was added last, and for what lies behind it.
    #[inline(always)]
    pub fn prefetch(&self) {
        for line in 0..3 {
            prefetch::for_read(self.head.wrapping_add(line));
        }
    }

    /// Takes the span that was added last, and asks for what taking the next one will touch.
    pub fn pop(&mut self) -> Option<&'static Span> {
        // SAFETY: a list's head is a header or null; headers live for ever.
        let span = unsafe { self.head.as_ref() }?;
        self.head = span.next.load(Relaxed);
        self.prefetch();
        self.took(span);
        Some(span)
    }

    /// Takes a span out, which is in this list.
    pub fn remove(&mut self, span: &'static Span) {
        let (next, prev) = (span.next.load(Relaxed), span.prev.load(Relaxed));
        if core::ptr::eq(self.head, span) {
            self.head = next;
        } else {
            // SAFETY: links are headers or null, and all but the head have one before them.
            unsafe {
                (*prev).next.store(next, Relaxed);
                if let Some(n) = next.as_ref() {
                    n.prev.store(prev, Relaxed);
                }
            }
        }
        self.took(span);
    }

    fn took(&mut self, span: &Span) {
        self.len -= 1;
        span.state.store(State::Spare as u8, Relaxed);
    }

    /// The spans, the one added last first.
    pub fn iter(&self) -> impl Iterator<Item = &'static Span> + use<> {
        // SAFETY: as in `pop`.
        let mut at = unsafe { self.head.as_ref() };
        core::iter::from_fn(move || {
            let span = at?;
            // SAFETY: as in `pop`.
            at = unsafe { span.next.load(Relaxed).as_ref() };
            Some(span)
        })
    }
}

impl Default for SpanList {
    fn default() -> Self {
        Self::new()
    }
}
