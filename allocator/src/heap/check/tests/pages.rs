//! Bitmaps, summaries, densities, cursors, the page table, bytes by state.

use super::*;

#[test]
fn a_page_in_use_that_its_chunk_calls_idle() {
    let used = Used::new();
    let page = used.span(State::Partial).first_page();
    used.tables(|t| t.chunk(0).used.clear(page, 1));
    used.expect(&["chunk 0", "pages in use, its density says"]);
    used.tables(|t| *t.density(0) = t.density(0).free(1, 0));
    used.expect(&[&format!(
        "page {page} is idle, but the page table says span"
    )]);
}

#[test]
fn a_chunk_that_differs_from_its_summary() {
    let used = Used::new();
    used.tables(|t| t.summaries.update(0, [Summary::free(300)].into_iter()));
    used.expect(&["chunk 0: summarised as"]);
}

#[test]
fn a_page_that_nobody_has() {
    let used = Used::new();
    used.tables(|t| {
        t.chunk(0).used.set(500, 1);
        t.chunk(0).released.clear(500, 1);
        *t.density(0) = t.density(0).alloc(1, 0);
        let summary = t.chunk(0).summary();
        t.summaries.update(0, [summary].into_iter());
    });
    used.expect(&["page 500 is in use, and 0 spans and page caches have it"]);
}

#[test]
fn a_page_in_two_places() {
    let used = Used::new();
    let page = used.span(State::Partial).first_page();
    let cache = &used.other.pages;
    cache.base.store(page / 64 * 64, Relaxed);
    cache.idle.store(1 << (page % 64), Relaxed);
    used.expect(&[&format!(
        "page {page} is in use, and 2 spans and page caches"
    )]);
}

#[test]
fn a_page_in_use_and_released() {
    let used = Used::new();
    let page = used.span(State::Partial).first_page();
    used.tables(|t| t.chunk(0).released.set(page, 1));
    used.expect(&[&format!("page {page}: in use and released")]);
}

#[test]
fn a_page_cache_with_released_pages_that_it_does_not_hold() {
    let used = Used::new();
    used.other.pages.released.store(1 << 63, Relaxed);
    used.expect(&["bytes released"]);
}

#[test]
fn a_summary_that_differs_from_the_level_below() {
    let used = Used::new();
    // So many chunks that there is a level above theirs.
    let large = used.heap.alloc_large(9 * CHUNK, 1);
    large.expect("there is memory");
    used.tables(|t| t.summaries.set(1, 0, Summary::free(7)));
    used.expect(&["summary 0 of level 1 is", "the level below says"]);
}

#[test]
fn a_search_that_begins_too_high() {
    let used = Used::new();
    used.tables(|t| t.summaries.first_top = 1);
    used.expect(&["summary 0 of the top level has idle pages, but searches begin at 1"]);
}

#[test]
fn a_density_that_differs_from_the_bitmap() {
    let used = Used::new();
    used.tables(|t| *t.density(0) = t.density(0).alloc(3, 0));
    used.expect(&["chunk 0", "its density says"]);
}

#[test]
fn a_cursor_below_what_can_be_released() {
    let used = Used::new();
    used.pages(|p| p.scavenge.forced = None);
    used.expect(&["has pages to release, but the forced cursor is at page None"]);
}

#[test]
fn bytes_by_state_that_differ_from_the_pages() {
    let used = Used::new();
    let bytes = &used.heap.pages().bytes;
    let counters = [
        (&bytes.in_use, "bytes in use: counted"),
        (&bytes.grown, "bytes grown: counted"),
        (&bytes.released, "bytes released: counted"),
        (&bytes.stacks, "bytes of stacks: counted"),
    ];
    for (counter, words) in counters {
        counter.add(PAGE);
        used.expect(&[words]);
        counter.sub(PAGE);
        assert_eq!(used.finding(), None);
    }
}

#[test]
fn a_page_that_leads_to_another_span() {
    let used = Used::new();
    let page = used.span(State::Partial).first_page();
    let wrong = used.held();
    used.heap.arena.set_spans(page, 1, Some(wrong));
    used.expect(&[
        &format!("page {page} is span"),
        "but the page table says span",
    ]);
    used.heap.arena.set_spans(page, 1, None);
    used.expect(&["but the page table says span 0x0"]);
}

#[test]
fn an_idle_page_that_leads_to_a_span() {
    let used = Used::new();
    let span = used.held();
    used.heap.arena.set_spans(511, 1, Some(span));
    used.expect(&["page 511 is idle, but the page table says span"]);
}

#[test]
fn a_span_whose_pages_lie_elsewhere() {
    let used = Used::new();
    let span = used.span(State::Partial);
    span.open(
        span.base() + PAGE,
        span.first_page(),
        span.pages(),
        true,
        span.swept(),
    );
    used.expect(&["begins at", "lies at"]);
    let span = Used::new();
    let (heap, span) = (&span, span.span(State::Full));
    span.open(
        span.base(),
        span.first_page(),
        span.pages() + 1,
        true,
        span.swept(),
    );
    heap.expect(&["pages instead of"]);
}
