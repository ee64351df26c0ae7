//! Single-threaded workloads under criterion.

use criterion::{Criterion, criterion_group, criterion_main};
use goheap_benches::workload::Group;

mod common;

fn micro(criterion: &mut Criterion) {
    common::bench(criterion, &[Group::Micro]);
}

criterion_group!(benches, micro);
criterion_main!(benches);
