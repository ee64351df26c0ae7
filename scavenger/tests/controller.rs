//! The proportional-integral controller, step by step.

use goheap_scavenger::{Fault, PiController};

/// Bounds far away, and a period and time constants that are easy to reckon with.
fn free_running() -> PiController {
    PiController::new(0.5, 10.0, 20.0, -1e6, 1e6)
}

#[test]
fn the_output_is_the_error_times_the_gain_plus_what_was_made_up_for() {
    let mut controller = free_running();
    // The error is 4: 0.5 × 4, and then the integral of 0.5 × 5 / 10 × 4 a step on top.
    assert_eq!(controller.next(1.0, 5.0, 5.0), Ok(2.0));
    assert_eq!(controller.next(1.0, 5.0, 5.0), Ok(3.0));
    assert_eq!(
        controller.next(5.0, 5.0, 5.0),
        Ok(2.0),
        "the integral alone"
    );
    assert_eq!(controller.next(7.0, 5.0, 10.0), Ok(1.0));
    assert_eq!(controller.next(5.0, 5.0, 1.0), Ok(1.0));
}

#[test]
fn without_a_time_constant_it_only_goes_by_the_error() {
    for (ti, tt) in [(0.0, 20.0), (10.0, 0.0)] {
        let mut controller = PiController::new(0.5, ti, tt, -1e6, 1e6);
        for _ in 0..3 {
            assert_eq!(controller.next(1.0, 5.0, 5.0), Ok(2.0));
        }
    }
}

#[test]
fn at_a_bound_the_integral_drains_so_that_the_way_back_is_short() {
    // The error is 100, so 50 without bounds, and the integral grows by 25 a step less what is over the bound
    // times 5 / 20: it settles where these are the same.
    let mut controller = PiController::new(0.5, 10.0, 20.0, 0.0, 1.0);
    for _ in 0..200 {
        assert_eq!(controller.next(0.0, 100.0, 5.0), Ok(1.0));
    }
    // Raw was 1 + 25 × 4 then, of which 51 are the integral: an error of -102 takes it back to the lower bound.
    assert_eq!(controller.next(202.0, 100.0, 0.0), Ok(0.0));
    let between = controller.next(201.0, 100.0, 0.0).expect("a number");
    assert!((between - 0.5).abs() < 1e-9, "{between}");
}

#[test]
fn a_sample_that_is_no_number_is_a_fault_and_the_past_is_forgotten() {
    for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, f64::MIN] {
        let mut controller = free_running();
        controller.next(1.0, 5.0, 5.0).expect("a number");
        let setpoint = if bad == f64::MIN { f64::MAX } else { 5.0 };
        assert_eq!(controller.next(bad, setpoint, 5.0), Err(Fault::Input));
        assert_eq!(controller, free_running());
    }
}

#[test]
fn an_integral_without_end_is_a_fault_and_the_past_is_forgotten() {
    let mut controller = free_running();
    controller.next(1.0, 5.0, 5.0).expect("a number");
    assert_eq!(
        controller.next(1.0, 5.0, f64::INFINITY),
        Err(Fault::Integral)
    );
    assert_eq!(controller, free_running());
}

#[test]
fn the_scavengers_output_is_a_ratio_between_one_and_a_thousand_and_back() {
    let mut controller = PiController::SCAVENGER;
    // Nothing measured where one percent is wanted, second after second: as much work as there may be.
    let most = (0..2000).map(|_| controller.next(0.0, 0.01, 1e9));
    assert_eq!(most.last(), Some(Ok(1000.0)));
    let least = (0..2000).map(|_| controller.next(1.0, 0.01, 1e9));
    assert_eq!(least.last(), Some(Ok(0.001)));
}
