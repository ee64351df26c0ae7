//! Lists, states, sweeps, words, death bytes, objects counted.

use super::*;
use crate::sample::Stack;

#[test]
fn a_link_that_leads_back_wrong() {
    let used = Used::new();
    let full = |lists: &mut Lists| {
        let mut lists = lists.all().filter(|(state, ..)| *state == State::Full);
        lists.find_map(|(_, _, list)| list.iter().nth(1))
    };
    let second = SizeClass::all().skip(1).find_map(|class| {
        let mut found = None;
        used.lists(class, |lists| found = full(lists));
        found
    });
    let second = second.expect("two full spans of a class");
    second.prev.store(NonNull::dangling().as_ptr(), Relaxed);
    used.expect(&["Full list: span", "but links back to 0x"]);
}

#[test]
fn a_state_that_differs_from_the_list() {
    let used = Used::new();
    used.span(State::Partial)
        .state
        .store(State::Full as u8, Relaxed);
    used.expect(&["is Full, but in class", "Partial list"]);
}

#[test]
fn a_span_in_the_list_of_another_sweep() {
    let used = Used::new();
    used.span(State::Partial).swept.fetch_add(1, Relaxed);
    used.expect(&["swept in sweep 2, but listed as in sweep 1"]);
}

#[test]
fn a_span_in_use_among_the_spare_ones() {
    let used = Used::new();
    used.lists(SizeClass::LARGE, |l| {
        l.spare
            .iter()
            .for_each(|s| s.state.store(State::Full as u8, Relaxed));
    });
    used.expect(&["is Full, but in class", "spare list"]);
}

#[test]
fn a_span_that_was_lost() {
    let used = Used::new();
    let span = used.span(State::Partial);
    used.lists(span.class(), |l| l.unlink(span));
    used.expect(&["spans made of a class: counted"]);
}

#[test]
fn a_full_span_with_a_free_slot() {
    let used = Used::new();
    let span = used.span(State::Full);
    let slot = used.slot(span, true);
    span.death(slot).store(FREE, Relaxed);
    span.words()[slot / 64].clear(1 << (slot % 64));
    used.expect(&["is Full with"]);
}

#[test]
fn a_span_filed_with_another_count_than_it_has() {
    let used = Used::new();
    let span = used.span(State::Partial);
    span.file(span.filed() + 1);
    used.expect(&["slots taken, but filed with"]);
}

#[test]
fn a_free_slot_whose_death_byte_says_that_it_lives() {
    let used = Used::new();
    let span = used.span(State::Partial);
    let slot = used.slot(span, false);
    span.death(slot).store(0, Relaxed);
    used.expect(&[&format!("slot {slot}: free, but its death byte is 0")]);
}

#[test]
fn a_taken_slot_whose_death_byte_says_that_it_is_free() {
    let used = Used::new();
    let span = used.span(State::Partial);
    let slot = used.slot(span, true);
    span.death(slot).store(FREE, Relaxed);
    used.expect(&[&format!("slot {slot}: taken, but its death byte is 3")]);
}

#[test]
fn a_death_that_the_sweep_has_missed() {
    let used = Used::new();
    let span = used.span(State::Full);
    let slot = used.slot(span, true);
    let tag = used.heap.registry.lock().tag.other();
    span.death(slot).store(tag.0, Relaxed);
    used.expect(&[
        &format!("slot {slot}: died with tag"),
        "which sweep 1 has been over",
    ]);
}

#[test]
fn a_death_that_was_not_counted() {
    let used = Used::new();
    let span = used.span(State::Full);
    let tag = used.heap.registry.lock().tag;
    span.death(used.slot(span, true)).store(tag.0, Relaxed);
    used.expect(&["objects dead in this epoch: counted"]);
}

#[test]
fn slots_that_do_not_exist() {
    let used = Used::new();
    let span = used.span(State::Partial);
    let last = span.word_count() - 1;
    assert!(
        span.slots_in(last) < 64,
        "the class's slots end within a word"
    );
    span.words()[last].clear(1 << 63);
    used.expect(&["bits beyond the last slot are clear"]);
    span.words()[last].0.fetch_or(1 << 63, Relaxed);
    if !span.slots().is_multiple_of(16) {
        span.death(span.slots()).store(Tag::FIRST.0, Relaxed);
        used.expect(&["of no slot, is 1"]);
    }
}

#[test]
fn objects_and_bytes_that_were_counted_wrong() {
    let used = Used::new();
    let small = used.heap.central.counts(CLASS);
    let large = used.heap.central.counts(SizeClass::LARGE);
    let counters = [
        (&small.freed, "bytes freed of a class: counted"),
        (&small.freed_bytes, "bytes freed of a class: counted"),
        (&large.freed, "large objects kept: counted"),
        (&large.freed_bytes, "bytes in large objects: counted"),
    ];
    for (counter, words) in counters {
        counter.add(1);
        used.expect(&[words]);
        counter.sub(1);
        assert_eq!(used.finding(), None);
    }
    used.cache.held[CLASS.index()].taken.fetch_add(1, Relaxed);
    used.expect(&["slots taken of a class: counted"]);
}

#[test]
fn a_sweep_that_leaves_spans_behind() {
    let used = Used::new();
    let progress = &used.heap.progress;
    progress
        .turn
        .state
        .fetch_add(crate::heap::progress::SPAN, Relaxed);
    used.expect(&["spans left to sweep: counted 1, found 0"]);
    progress
        .turn
        .state
        .fetch_sub(crate::heap::progress::SPAN, Relaxed);
    let (condemned, _) = used.heap.close_epoch();
    used.heap.start_sweep(condemned);
    assert_eq!(used.finding(), None, "a sweep that has just started");
    progress.class.store(60, Relaxed);
    used.expect(&["unswept spans, but the sweep has gone on to class 60"]);
}

#[test]
fn a_record_of_a_sampled_object_that_is_not_there() {
    let used = Used::new();
    let span = used.span(State::Partial);
    let slot = used.slot(span, false);
    let address = span.base() + slot * span.slot_bytes();
    used.heap.sample(address, 1, &mut Stack::of(&[1]));
    used.expect(&["is of a sampled object at", "but there is none"]);
}

#[test]
fn a_record_that_hangs_nowhere() {
    let used = Used::new();
    let span = used.span(State::Partial);
    let slot = used.slot(span, true);
    used.heap.sample(
        span.base() + slot * span.slot_bytes(),
        1,
        &mut Stack::of(&[1]),
    );
    assert_eq!(used.finding(), None);
    span.records.store(null_mut(), Relaxed);
    used.expect(&["sampled objects: counted 1, found 0"]);
}
