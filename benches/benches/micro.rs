//! Single-threaded workloads under criterion.

use criterion::{Criterion, criterion_group, criterion_main};
use goheap_benches::workload::Workload;

mod common;

fn micro(criterion: &mut Criterion) {
    common::bench(criterion, |workload| {
        !matches!(workload, Workload::Ring { .. })
    });
}

criterion_group!(benches, micro);
criterion_main!(benches);
