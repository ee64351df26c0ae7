//! Held spans, bins, logs, caches counted.

use super::*;

#[test]
fn a_span_held_twice() {
    let used = Used::new();
    let span = core::ptr::from_ref(used.held()).cast_mut();
    used.other.held[CLASS.index()].span.store(span, Relaxed);
    used.expect(&["is held by caches"]);
}

#[test]
fn a_span_held_that_is_in_a_central_list() {
    let used = Used::new();
    let span = used.span(State::Full);
    let at = core::ptr::from_ref(span).cast_mut();
    used.other.held[span.class().index()]
        .span
        .store(at, Relaxed);
    used.expect(&["holds span", "but it is Full of class"]);
}

#[test]
fn a_cached_span_that_no_cache_holds() {
    let used = Used::new();
    used.cache.held[CLASS.index()]
        .span
        .store(null_mut(), Relaxed);
    used.cache.free[CLASS.index()].store(0, Relaxed);
    used.expect(&["spans in caches of a class: counted 1, found 0"]);
}

#[test]
fn slots_in_a_bin_that_are_not_the_threads() {
    let used = Used::new();
    let slots = &used.cache.base[CLASS.index()];
    let free = used.cache.free[CLASS.index()].load(Relaxed);
    let base = slots.load(Relaxed);
    assert_ne!(free, 0, "the bin has slots");
    slots.store(base + 48, Relaxed);
    used.expect(&["slots begin at"]);
    slots.store(base, Relaxed);

    let (span, word) = (used.held(), used.cache.held[CLASS.index()].word.get());
    let slot = word * 64 + free.trailing_zeros() as usize;
    span.death(slot).store(Tag::FIRST.0, Relaxed);
    used.expect(&["died with tag 1"]);
    let waits = format!("slot {slot} of span");
    assert!(
        used.heap.check(Others::Rest).count() > 1,
        "{waits} waits to be handed out, too"
    );
    span.death(slot).store(0, Relaxed);
    assert_eq!(used.finding(), None);

    let taken = free & free.wrapping_neg();
    span.death(slot).store(FREE, Relaxed);
    span.words()[word].0.fetch_and(!taken, Relaxed);
    used.cache.held[CLASS.index()].taken.fetch_sub(1, Relaxed);
    used.expect(&["that are free in word"]);
    used.cache.held[CLASS.index()].word.set(1000);
    used.expect(&["but no word that they are from"]);
}

#[test]
fn a_log_with_the_wrong_tag() {
    let used = Used::new();
    let mut drained = used.other.drained.lock();
    drained.tag = drained.tag.other();
    drop(drained);
    used.expect(&["deaths get tag", "those of all caches should get"]);
}

#[test]
fn a_log_dealt_with_beyond_its_end() {
    let used = Used::new();
    used.other.drained.lock().upto = 5;
    used.expect(&["0 deaths logged of at most 1024, 5 dealt with"]);
}

#[test]
fn a_cache_that_was_miscounted_or_is_not_empty() {
    let used = Used::new();
    used.heap.cache_count.fetch_add(1, Relaxed);
    used.expect(&["caches in use: counted 3, found 2"]);
    used.heap.cache_count.fetch_sub(1, Relaxed);
    let spare = used.heap.registry.lock().spare;
    // SAFETY: caches are never unmapped, and this is the only thread.
    let spare = unsafe { &*spare };
    spare.room.fetch_sub(1, Relaxed);
    used.expect(&["is spare, but holds spans, slots or deaths"]);
    spare.room.fetch_add(1, Relaxed);
    spare.pages.idle.store(1 << 63, Relaxed);
    let findings = used.heap.check(Others::Run);
    assert!(
        findings
            .first()
            .is_some_and(|f| f.contains("is spare, but holds pages"))
    );
}

#[test]
fn metadata_that_was_miscounted() {
    let used = Used::new();
    used.lists(CLASS, |l| l.blocks += 1);
    used.expect(&["spans made of a class: counted"]);
    let findings = used.heap.check(Others::Run);
    assert!(findings.count() >= 2, "the bytes of headers differ, too");
    assert!(
        used.heap
            .meta
            .take(&Linux, crate::meta::Kind::Caches, 64)
            .is_ok()
    );
    used.lists(CLASS, |l| l.blocks -= 1);
    used.expect(&["bytes of caches: counted"]);
}
