//! All that is measured, with how many operations of each take 50 to 100 ms.

use super::growth::{Chain, Push, Zeroed};
use super::micro::{Batch, Order, Pair, Replace};
use super::patterns::{BigBlocks, FalseSharing, ShortThreads};
use super::programs::Program;
use super::threads::{Role, Threads};
use super::{Bench, Group, Sizes};

/// A row: the workload must be a constant.
macro_rules! bench {
    ($group:ident, $name:literal, $operations:literal, $workload:expr) => {
        Bench {
            name: $name,
            group: Group::$group,
            operations: $operations,
            run: |contestant, operations| contestant.measure(&$workload, operations),
        }
    };
}

const fn pair(size: usize) -> Pair {
    Pair { size, align: 8 }
}

const fn aligned(size: usize, align: usize) -> Pair {
    Pair { size, align }
}

const fn batch(count: usize, order: Order) -> Batch {
    Batch { count, order }
}

const fn replace(live: usize, sizes: Sizes) -> Replace {
    Replace { live, sizes }
}

const fn threads(count: usize, role: Role) -> Threads {
    Threads { count, role }
}

/// All that is measured.
#[rustfmt::skip]
pub const BENCHES: &[Bench] = &[
    bench!(Micro, "micro/pair/8", 6_000_000, pair(8)),
    bench!(Micro, "micro/pair/16", 6_000_000, pair(16)),
    bench!(Micro, "micro/pair/64", 6_000_000, pair(64)),
    bench!(Micro, "micro/pair/512", 4_000_000, pair(512)),
    bench!(Micro, "micro/pair/4096", 1_000_000, pair(4096)),
    bench!(Micro, "micro/pair/65536", 150_000, pair(65_536)),
    bench!(Micro, "micro/aligned/64", 5_000_000, aligned(64, 64)),
    bench!(Micro, "micro/aligned/4096", 800_000, aligned(4096, 4096)),
    bench!(Micro, "micro/batch/100", 5_000_000, batch(100, Order::Same)),
    bench!(Micro, "micro/batch/10000", 4_000_000, batch(10_000, Order::Same)),
    bench!(Micro, "micro/batch/100000", 4_000_000, batch(100_000, Order::Same)),
    bench!(Micro, "micro/reversed/100", 5_000_000, batch(100, Order::Reversed)),
    bench!(Micro, "micro/reversed/10000", 4_000_000, batch(10_000, Order::Reversed)),
    bench!(Micro, "micro/reversed/100000", 4_000_000, batch(100_000, Order::Reversed)),
    bench!(Micro, "micro/shuffled/100", 5_000_000, batch(100, Order::Shuffled)),
    bench!(Micro, "micro/shuffled/10000", 3_000_000, batch(10_000, Order::Shuffled)),
    bench!(Micro, "micro/shuffled/100000", 2_000_000, batch(100_000, Order::Shuffled)),
    bench!(Micro, "micro/replace/1000", 3_000_000, replace(1_000, Sizes::Uniform)),
    bench!(Micro, "micro/replace/10000", 3_000_000, replace(10_000, Sizes::Uniform)),
    bench!(Micro, "micro/replace/100000", 4_000_000, replace(100_000, Sizes::Uniform)),
    bench!(Micro, "micro/replace/1000000", 4_000_000, replace(1_000_000, Sizes::Uniform)),
    bench!(Micro, "micro/tiny/10000", 3_000_000, replace(10_000, Sizes::Tiny)),
    bench!(Micro, "micro/perl/1000", 3_000_000, replace(1_000, Sizes::Program)),
    bench!(Micro, "micro/perl/10000", 3_000_000, replace(10_000, Sizes::Program)),
    bench!(Micro, "micro/perl/100000", 4_000_000, replace(100_000, Sizes::Program)),
    bench!(Micro, "micro/perl/1000000", 4_000_000, replace(1_000_000, Sizes::Program)),
    bench!(Micro, "micro/push", 40_000_000, Push),
    bench!(Micro, "micro/chain/16", 3_000_000, Chain { step: 16 }),
    bench!(Micro, "micro/chain/4096", 50_000, Chain { step: 4096 }),
    bench!(Micro, "micro/zeroed/1KiB", 2_000_000, Zeroed { size: 1 << 10 }),
    bench!(Micro, "micro/zeroed/64KiB", 30_000, Zeroed { size: 64 << 10 }),
    bench!(Micro, "micro/zeroed/1MiB", 1_500, Zeroed { size: 1 << 20 }),
    bench!(Micro, "micro/zeroed/16MiB", 60, Zeroed { size: 16 << 20 }),
    bench!(Threads, "threads/alone/2", 5_000_000, threads(2, Role::Alone(Sizes::Program))),
    bench!(Threads, "threads/alone/4", 5_000_000, threads(4, Role::Alone(Sizes::Program))),
    bench!(Threads, "threads/alone/16", 5_000_000, threads(16, Role::Alone(Sizes::Program))),
    bench!(Threads, "threads/class/2", 6_000_000, threads(2, Role::OneClass)),
    bench!(Threads, "threads/class/4", 6_000_000, threads(4, Role::OneClass)),
    bench!(Threads, "threads/class/16", 6_000_000, threads(16, Role::OneClass)),
    bench!(Threads, "threads/heirs/1", 600_000, threads(1, Role::Heirs)),
    bench!(Threads, "threads/heirs/4", 600_000, threads(4, Role::Heirs)),
    bench!(Threads, "threads/heirs/16", 1_000_000, threads(16, Role::Heirs)),
    bench!(Remote, "remote/pass-on/2", 2_500_000, threads(2, Role::PassOn(Sizes::Even))),
    bench!(Remote, "remote/pass-on/4", 2_500_000, threads(4, Role::PassOn(Sizes::Even))),
    bench!(Remote, "remote/pass-on/16", 2_500_000, threads(16, Role::PassOn(Sizes::Even))),
    bench!(Remote, "remote/ring/2", 2_500_000, threads(2, Role::Ring(Sizes::Even))),
    bench!(Remote, "remote/ring/4", 2_500_000, threads(4, Role::Ring(Sizes::Even))),
    bench!(Remote, "remote/ring/16", 2_500_000, threads(16, Role::Ring(Sizes::Even))),
    bench!(Patterns, "patterns/false-sharing", 100_000, FalseSharing),
    bench!(Patterns, "patterns/short-lives", 1_500, ShortThreads),
    bench!(Patterns, "patterns/big-blocks", 30, BigBlocks),
    bench!(Patterns, "patterns/mixed/4", 800_000, threads(4, Role::Ring(Sizes::Mixed))),
    bench!(Programs, "programs/json", 80, Program::Json),
    bench!(Programs, "programs/compiler", 40, Program::Compiler),
    bench!(Programs, "programs/sort", 3, Program::Sort),
    bench!(Programs, "programs/hash-map", 10, Program::HashMap),
    bench!(Programs, "programs/server", 2, Program::Server),
];
