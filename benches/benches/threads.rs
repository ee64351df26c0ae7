//! Workloads of several threads under criterion.

use criterion::{Criterion, criterion_group, criterion_main};
use goheap_benches::workload::Workload;

mod common;

fn threads(criterion: &mut Criterion) {
    common::bench(criterion, |workload| {
        matches!(workload, Workload::Ring { .. })
    });
}

criterion_group!(benches, threads);
criterion_main!(benches);
