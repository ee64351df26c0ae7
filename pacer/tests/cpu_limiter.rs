//! The limiter steps in after a second of CPU too much, and lets go as soon as
//! the program has had its share.

use goheap_pacer::CpuLimiter;

const MS: u64 = 1_000_000;
const S: u64 = 1_000 * MS;

/// A limiter whose clock has started, at 5 s.
fn limiter(procs: u32) -> CpuLimiter {
    let mut l = CpuLimiter::new(procs);
    l.update(5 * S, false, 0, 0);
    l
}

#[test]
fn a_cycle_alone_never_fills_the_bucket() {
    let mut l = limiter(4);
    for second in 6..100 {
        l.update(second * S, true, 0, 0);
        assert_eq!(l.fill_ns(), 0);
        assert!(!l.limiting());
    }
}

#[test]
fn assists_fill_it_and_half_of_the_cpu_is_the_limit() {
    for (assist_share, full_after) in [
        (0.20, None),
        (0.25, None),
        (0.30, Some(10)),
        (0.75, Some(1)),
    ] {
        let mut l = limiter(8);
        let mut now = 5 * S;
        let mut full = None;
        for tenth in 1..=1000 {
            now += S / 10;
            l.update(now, true, ((8 * S / 10) as f64 * assist_share) as u64, 0);
            if l.limiting() && full.is_none() {
                full = Some(tenth / 10);
            }
        }
        assert_eq!(full, full_after, "assists of {assist_share}");
    }
}

#[test]
fn it_lets_go_as_soon_as_the_bucket_is_not_full() {
    let mut l = limiter(1);
    l.pause(6 * S);
    assert!(l.limiting());
    assert_eq!(l.fill_ns(), S);
    l.update(6 * S, false, 0, 0);
    assert!(l.limiting(), "no time went by");
    l.update(6 * S + 1, false, 0, 0);
    assert!(!l.limiting());
    l.update(7 * S, false, 0, 0);
    assert_eq!(l.fill_ns(), 0);
}

#[test]
fn an_idle_day_earns_no_credit() {
    let mut l = limiter(2);
    l.update(86_400 * S, false, 0, 0);
    l.pause(86_401 * S);
    assert!(l.limiting());
}

#[test]
fn idle_time_is_nobodys() {
    // One of 32 processors works and nothing but collects: 8 for the cycle, 23 idle.
    let mut l = limiter(32);
    l.update(10 * S, true, 5 * S, 5 * 23 * S);
    assert!(l.limiting());
    let mut l = limiter(32);
    l.update(10 * S, true, 5 * S, 0);
    assert!(!l.limiting());
}

#[test]
fn a_pause_counts_on_every_processor() {
    let mut l = limiter(4);
    l.pause(5 * S + 10 * MS);
    assert_eq!(l.fill_ns(), 40 * MS);
}

#[test]
fn what_did_not_fit_is_counted() {
    let mut l = limiter(1);
    l.pause(8 * S);
    assert_eq!((l.fill_ns(), l.overflow_ns()), (S, 2 * S));
    l.pause(9 * S);
    assert_eq!(l.overflow_ns(), 3 * S);
}

#[test]
fn an_update_is_due_after_ten_milliseconds() {
    assert!(CpuLimiter::new(1).needs_update(0));
    let l = limiter(1);
    assert!(!l.needs_update(5 * S + 10 * MS));
    assert!(l.needs_update(5 * S + 10 * MS + 1));
    assert!(!l.needs_update(0), "a clock that ran backwards");
}

#[test]
fn the_first_call_only_sets_the_clock() {
    let mut l = CpuLimiter::new(1);
    l.pause(1_000_000 * S);
    assert_eq!(l.fill_ns(), 0);
}

#[test]
fn a_clock_that_runs_backwards_changes_nothing() {
    let mut l = limiter(1);
    l.pause(5 * S + 500 * MS);
    l.update(S, true, S, 0);
    l.pause(S);
    assert_eq!(l.fill_ns(), 500 * MS);
}

#[test]
fn fewer_processors_have_a_smaller_bucket() {
    let mut l = limiter(4);
    l.pause(5 * S + 500 * MS);
    assert_eq!(l.fill_ns(), 2 * S);
    l.set_procs(1);
    assert!(l.limiting());
    assert_eq!(l.fill_ns(), S);
    l.set_procs(0);
    assert!(l.limiting(), "none counts as one");
    l.set_procs(2);
    assert!(!l.limiting());
}

/// Go 1.27.3, `resetCapacity`: only more than fits, or less, says anything.
#[test]
fn a_bucket_that_becomes_exactly_full_limits_if_it_did_before() {
    let mut l = limiter(2);
    l.pause(5 * S + 500 * MS);
    assert_eq!(l.fill_ns(), S);
    l.set_procs(1);
    assert!(!l.limiting());
    l.pause(6 * S);
    l.set_procs(1);
    assert!(l.limiting());
}

#[test]
fn odd_figures_saturate() {
    let mut l = CpuLimiter::new(u32::MAX);
    l.update(0, false, 0, 0);
    l.pause(u64::MAX);
    assert!(l.limiting());
    assert_eq!(l.overflow_ns(), u64::MAX);
    l.update(u64::MAX, true, u64::MAX, u64::MAX);
    assert!(l.limiting());
    assert_eq!(l.overflow_ns(), u64::MAX);
    let mut l = CpuLimiter::new(0);
    l.update(0, false, 0, 0);
    l.update(u64::MAX, false, 0, 0);
    assert_eq!(l.fill_ns(), 0);
}
