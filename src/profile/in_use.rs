//! What samples tell of objects in use, for who explains where memory is. Allocates nothing.

use super::is_on;
use crate::runtime::HEAP;
use goheap_allocator::SizeClass;
use goheap_allocator::heap::Holdings;
use goheap_allocator::os;
use goheap_stats::explain::{Sampled, Samples};
use goheap_stats::profile::objects_per_sample;

/// How much of what is live was asked for, and what the heap profile says; `None` if nothing is sampled.
pub fn sampled(held: &Holdings) -> Option<Sampled> {
    if !is_on() {
        return None;
    }
    let rate = HEAP.sample_rate().get();
    let mut samples = Samples::new(rate);
    HEAP.for_each_live_sample(os::resident, |one| {
        let bytes = [one.slot_bytes, one.resident, one.requested].map(|bytes| bytes as u64);
        let [slot, resident, requested] = bytes;
        samples.add(one.class.index(), slot, resident, requested);
    });
    let mut in_use = 0.0;
    HEAP.for_each_count_in_use(|slot_bytes, count| {
        let bytes = slot_bytes as f64 * objects_per_sample(slot_bytes as u64, rate);
        in_use += count as f64 * bytes;
    });
    let size = |class| SizeClass::from_index(class).bytes();
    Some(Sampled {
        requested: samples.estimate(held.live, &held.live_of, size),
        in_use: in_use as u64,
    })
}
