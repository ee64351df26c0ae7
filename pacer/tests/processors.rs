//! What a quota leaves of the processors.

use goheap_pacer::within_quota;
use proptest::prelude::*;

const PERIOD: u64 = 100_000;

#[test]
fn a_quota_counts_rounded_up() {
    for (hundredths, processors) in [(200, 2), (201, 3), (250, 3), (300, 3), (6399, 64)] {
        assert_eq!(
            within_quota(64, hundredths * PERIOD / 100, PERIOD),
            processors,
            "{hundredths} %"
        );
    }
    assert_eq!(within_quota(64, 2 * PERIOD + 1, PERIOD), 3);
}

#[test]
fn a_small_one_counts_as_two() {
    for hundredths in [0, 1, 50, 100, 150, 199] {
        assert_eq!(within_quota(64, hundredths * PERIOD / 100, PERIOD), 2);
    }
}

#[test]
fn it_never_adds_a_processor() {
    assert_eq!(within_quota(1, PERIOD / 2, PERIOD), 1);
    assert_eq!(within_quota(2, PERIOD / 2, PERIOD), 2);
    assert_eq!(within_quota(4, 8 * PERIOD, PERIOD), 4);
    assert_eq!(within_quota(4, u64::MAX, 1), 4);
}

#[test]
fn without_a_period_there_is_no_quota() {
    assert_eq!(within_quota(8, PERIOD, 0), 8);
}

proptest! {
    #[test]
    fn it_is_gos_sum(allowed in 1..10_000_u32, quota in 0..1_u64 << 44, period in 1_000..=1_000_000_u64) {
        let worth = (quota as f64 / period as f64).ceil().max(2.0);
        let expected = if worth < f64::from(allowed) { worth as u32 } else { allowed };
        prop_assert_eq!(within_quota(allowed, quota, period), expected);
    }
}
