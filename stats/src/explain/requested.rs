//! How much of what is live was asked for; the rest is rounding. An estimate from the heap profile's samples.
//!
//! What is live is known, by size class, so only which share of it was asked for is estimated, class by class, as the ratio of two
//! sums over that class's samples, each with how many objects it stands for. (Estimating the bytes themselves would err
//! by as much as the number of samples does.)
//!
//! The error is the standard error of that ratio, an object of probability p being sampled or not by itself:
//! √Σ (1 − p)/p² · (requested − ratio · resident)². What nobody has seen may be anything: for each class one more sample is
//! thought of, somewhere between the next smaller class and this one, so that few samples which agree
//! by chance do not look exact, and a class without any has half of its range as its error.

use super::Requested;
use crate::audit::CLASSES;
use crate::profile::objects_per_sample;

/// A large object that grew has up to a quarter more than was asked for.
const LARGE_AT_LEAST: f64 = 0.8;

/// Sums over the samples of a class.
#[derive(Clone, Copy)]
struct Sums {
    samples: f64,
    objects: f64,
    /// Bytes in memory, and of these, those asked for.
    resident: f64,
    requested: f64,
    /// Of (1 − p)/p²: times resident², resident · requested, requested².
    squares: [f64; 3],
}

/// Sums over all samples.
pub struct Samples {
    rate: u64,
    classes: [Sums; CLASSES],
}

impl Samples {
    /// None yet; one in `rate` bytes is sampled, on average.
    pub const fn new(rate: u64) -> Self {
        const NONE: Sums = Sums {
            samples: 0.0,
            objects: 0.0,
            resident: 0.0,
            requested: 0.0,
            squares: [0.0; 3],
        };
        Self {
            rate,
            classes: [NONE; CLASSES],
        }
    }

    /// Adds a live object: its class, the bytes of its slot, those in memory, and of these, those asked for.
    pub fn add(&mut self, class: usize, slot_bytes: u64, resident: u64, requested: u64) {
        let objects = objects_per_sample(slot_bytes, self.rate);
        let (x, y) = (resident as f64, requested as f64);
        let spread = objects * (objects - 1.0);
        let sums = &mut self.classes[class];
        sums.samples += 1.0;
        sums.objects += objects;
        sums.resident += objects * x;
        sums.requested += objects * y;
        for (sum, square) in sums.squares.iter_mut().zip([x * x, x * y, y * y]) {
            *sum += spread * square;
        }
    }

    /// Of `live` bytes, distributed over the classes as `live_of` says, those asked for. `size` names a class's bytes of
    /// a slot.
    pub fn estimate(
        &self,
        live: u64,
        live_of: &[u64; CLASSES],
        size: impl Fn(usize) -> usize,
    ) -> Requested {
        let (mut all, mut requested, mut variance) = (0.0, 0.0, 0.0);
        for (class, sums) in self.classes.iter().enumerate() {
            let least = match class {
                0 => LARGE_AT_LEAST,
                _ => size(class - 1) as f64 / size(class) as f64,
            };
            let (ratio, error) = sums.ratio(least);
            let bytes = live_of[class] as f64;
            all += bytes;
            requested += bytes * ratio;
            variance += (bytes * error).powi(2);
        }
        let scale = live as f64 / f64::max(all, 1.0);
        Requested {
            bytes: (requested * scale) as u64,
            error: (variance.sqrt() * scale).ceil() as u64,
        }
    }
}

impl Sums {
    /// Which share was asked for, and its standard error; it is at `least` that.
    fn ratio(&self, least: f64) -> (f64, f64) {
        let range = (1.0 - least) / 12_f64.sqrt();
        if self.resident == 0.0 {
            return (f64::midpoint(least, 1.0), range);
        }
        let ratio = self.requested / self.resident;
        let [xx, xy, yy] = self.squares;
        let seen = (yy - 2.0 * ratio * xy + ratio * ratio * xx).max(0.0) / self.resident.powi(2);
        let unseen = (1.0 - self.samples / self.objects).max(0.0);
        (
            ratio,
            (seen + unseen * (range / self.samples).powi(2)).sqrt(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: u64 = 512 << 10;

    fn live_of(class: usize, bytes: u64) -> [u64; CLASSES] {
        let mut live_of = [0; CLASSES];
        live_of[class] = bytes;
        live_of
    }

    fn size(class: usize) -> usize {
        class * 64
    }

    #[test]
    fn with_all_objects_sampled_the_estimate_is_exact() {
        let mut samples = Samples::new(1);
        for requested in [65, 100, 128] {
            samples.add(2, 128, 128, requested);
        }
        samples.add(0, 40_960, 36_864, 33_000);
        let mut of = live_of(2, 384);
        of[0] = 36_864;
        let found = samples.estimate(384 + 36_864, &of, size);
        assert_eq!((found.bytes, found.error), (293 + 33_000, 0));
    }

    #[test]
    fn without_a_sample_it_is_the_middle_of_the_class_and_says_how_little_it_knows() {
        let found = Samples::new(RATE).estimate(1200, &live_of(2, 1200), size);
        // Between 64 and 128 of 128: three quarters, with the deviation of a uniform distribution.
        assert_eq!((found.bytes, found.error), (900, 174));
        // Of what is live half is in memory.
        let half = Samples::new(RATE).estimate(600, &live_of(2, 1200), size);
        assert_eq!((half.bytes, half.error), (450, 87));
        let none = Samples::new(RATE).estimate(0, &[0; CLASSES], size);
        assert_eq!((none.bytes, none.error), (0, 0));
    }

    #[test]
    fn the_error_of_a_ratio_follows_from_how_the_samples_spread() {
        // Each stands for `n` objects: 100 and 60 of 128 asked for. By the variance of a ratio, as samples are drawn, and with
        // what none of them shows, as they are few.
        let mut samples = Samples::new(RATE);
        samples.add(2, 128, 128, 100);
        samples.add(2, 128, 128, 60);
        let found = samples.estimate(1280, &live_of(2, 1280), size);
        let n = objects_per_sample(128, RATE);
        let (ratio, resident) = (80.0 / 128.0, 2.0 * 128.0 * n);
        let residual = |asked: f64| n * (n - 1.0) * (asked - ratio * 128.0).powi(2);
        let seen = (residual(100.0) + residual(60.0)) / (resident * resident);
        let range = 0.5 / 12_f64.sqrt();
        let unseen = (1.0 - 1.0 / n) * (range / 2.0).powi(2);
        let error = (1280.0 * (seen + unseen).sqrt()).ceil() as u64;
        assert_eq!((found.bytes, found.error), (800, error));
    }

    #[test]
    fn one_sample_of_thousands_says_as_little_as_none() {
        let mut samples = Samples::new(RATE);
        samples.add(2, 128, 128, 100);
        let found = samples.estimate(1200, &live_of(2, 1200), size);
        assert_eq!((found.bytes, found.error), (937, 174));
    }

    #[test]
    fn the_truth_lies_within_two_errors_as_often_as_it_should() {
        // Objects that ask for 65 to 128 bytes of 128, and large ones of up to 2 MiB; each sampled with its probability.
        let mut state = 7_u64;
        let mut random = move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 11) as f64 / (1_u64 << 53) as f64
        };
        let (mut within, runs) = (0, 200);
        for _ in 0..runs {
            let mut samples = Samples::new(4096);
            let (mut of, mut truth) = ([0; CLASSES], 0);
            for n in 0..3000_u64 {
                let (class, slot, requested) = match n % 10 {
                    0 => (0, 32_768, 24_577 + n * 37 % 8192),
                    _ => (2, 128, 65 + n * 13 % 64),
                };
                of[class] += slot;
                truth += requested;
                if random() < 1.0 / objects_per_sample(slot, 4096) {
                    samples.add(class, slot, slot, requested);
                }
            }
            let found = samples.estimate(of.iter().sum(), &of, size);
            within += u32::from(found.bytes.abs_diff(truth) <= 2 * found.error);
        }
        // 95 % of 200, and three deviations of that count.
        assert!((180..=199).contains(&within), "{within} of {runs}");
    }
}
