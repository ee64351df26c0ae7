//! The catalogue of workloads as criterion groups, one a workload, with all contestants that
//! can share a process side by side.
//!
//! They share its threads and its memory, too; for a comparison run the
//! package's program, for a change to one allocator these.

use std::time::Duration;

use criterion::{BenchmarkId, Criterion, SamplingMode, Throughput};
use goheap_benches::contestant::Contestant;
use goheap_benches::workload::{BENCHES, Group};

/// A sample takes this share of a quick measurement.
const SHARE: u64 = 10;

/// Benchmarks the workloads of some groups.
pub fn bench(criterion: &mut Criterion, groups: &[Group]) {
    for bench in BENCHES.iter().filter(|bench| groups.contains(&bench.group)) {
        let least = (bench.operations / SHARE).max(1);
        let mut group = criterion.benchmark_group(bench.name);
        group
            .sampling_mode(SamplingMode::Flat)
            .sample_size(20)
            .warm_up_time(Duration::from_millis(500))
            .throughput(Throughput::Elements(least));
        for contestant in Contestant::linked() {
            group.bench_function(BenchmarkId::from_parameter(contestant.name()), |bencher| {
                bencher.iter_custom(|times| bench.run(contestant, times * least).wall);
            });
        }
        group.finish();
    }
}
