//! Workloads of several threads under criterion.

use criterion::{Criterion, criterion_group, criterion_main};
use goheap_benches::workload::Group;

mod common;

fn threads(criterion: &mut Criterion) {
    common::bench(criterion, &[Group::Threads, Group::Remote, Group::Patterns]);
}

criterion_group!(benches, threads);
criterion_main!(benches);
