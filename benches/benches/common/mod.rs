//! The catalogue of workloads as criterion groups, one a workload, with all contestants side
//! by side.
//!
//! They share a process here, and so its threads and its memory; for a comparison run the
//! package's program, for a change to one allocator these.

use std::time::Duration;

use criterion::{BenchmarkId, Criterion, SamplingMode, Throughput};
use goheap_benches::contestant::Contestant;
use goheap_benches::workload::{BENCHES, Workload};

/// The least that is worth timing: below it a batch of 100,000 is not even allocated once.
const LEAST: u64 = 200_000;

/// Benchmarks the workloads that are `wanted`.
pub fn bench(criterion: &mut Criterion, wanted: impl Fn(&Workload) -> bool) {
    for bench in BENCHES.iter().filter(|bench| wanted(&bench.workload)) {
        let mut group = criterion.benchmark_group(bench.name);
        group
            .sampling_mode(SamplingMode::Flat)
            .sample_size(20)
            .warm_up_time(Duration::from_millis(500))
            .throughput(Throughput::Elements(LEAST));
        for contestant in Contestant::ALL {
            group.bench_function(BenchmarkId::from_parameter(contestant.name()), |bencher| {
                bencher.iter_custom(|times| contestant.measure(&bench.workload, times * LEAST));
            });
        }
        group.finish();
    }
}
