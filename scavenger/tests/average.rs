//! The pace of Go 1.14 to 1.17, in figures: a hundred times as long asleep as at work, on average.

use goheap_scavenger::{Average, Step};

const US: u64 = 1_000;
const MS: u64 = 1_000 * US;

/// One that is to take 1 %, after a page that took so long.
fn after_work(took: u64) -> Average {
    let mut average = Average::new(0.01);
    assert_eq!(average.step(false), Step::Release(1));
    average.released(4096, took);
    average
}

fn sleep(average: &mut Average) -> u64 {
    match average.step(false) {
        Step::Sleep(ns) => ns,
        other => panic!("{other:?} instead of a sleep"),
    }
}

#[track_caller]
fn assert_about(ns: u64, wanted: u64) {
    assert!(ns.abs_diff(wanted) <= wanted / 1000, "{ns}, not {wanted}");
}

#[test]
fn a_sleep_is_a_hundred_times_as_long_as_the_work() {
    assert_about(sleep(&mut after_work(10 * US)), MS);
}

#[test]
fn who_slept_too_long_sleeps_less_the_next_time() {
    let mut average = after_work(10 * US);
    // Four times as long as it should be: a share of 1/401, and (1/401 + 1/100)/2 on average, of 1 %.
    average.slept(4 * MS);
    average.released(4096, 10 * US);
    assert_about(sleep(&mut average), 624_688);
}

#[test]
fn a_thread_that_lost_its_processor_did_not_work_all_that_time() {
    assert_about(sleep(&mut after_work(MS)), 100 * MS);
    for took in [10 * MS, 11 * MS, 5_000 * MS] {
        assert_about(sleep(&mut after_work(took)), 1_000 * MS);
    }
}

#[test]
fn work_that_no_clock_shows_is_followed_by_a_sleep_all_the_same() {
    assert!(matches!(after_work(0).step(false), Step::Sleep(_)));
}

#[test]
fn nothing_to_do_and_nothing_found_both_park() {
    assert_eq!(Average::new(0.01).step(true), Step::Park);
    let mut found_nothing = Average::new(0.01);
    found_nothing.released(0, 5 * US);
    assert_eq!(found_nothing.step(false), Step::Park);
    // Until somebody asks again.
    assert_eq!(found_nothing.step(false), Step::Release(1));
}
