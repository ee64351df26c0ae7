//! Patterns in which one property of the heap decides.

use std::collections::VecDeque;

use super::Named;
use super::script::{Object, Script};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

/// By name.
pub const ALL: &[Named] = &[
    ("bimodal", bimodal),
    ("boundaries", boundaries),
    ("comb", comb),
    ("every-second", every_second),
    ("gogc", gogc),
    ("idle-phases", idle_phases),
    ("large-sawtooth", large_sawtooth),
    ("lifo", lifo),
    ("limit-churn", limit_churn),
    ("one-a-span", one_a_span),
    ("shrinking", shrinking),
    ("small-then-large", small_then_large),
    ("tiny", tiny),
];

/// `live` objects replaced at random, `count` times.
fn replace(
    script: &mut Script,
    objects: &mut Vec<Object>,
    (live, count): (usize, u64),
    bytes: fn(&mut Script) -> u64,
    label: &str,
) {
    for k in 0..count {
        if objects.len() >= live {
            let gone = script.pick(objects);
            script.drop(gone);
        }
        let bytes = bytes(script);
        objects.push(script.new_object(bytes));
        if k % (count / 10) == count / 10 - 1 {
            script.snapshot(format_args!("{label}{k}"));
        }
    }
}

/// Nine of ten objects die within a hundred allocations, the tenth lives for fifty thousand.
fn bimodal(script: &mut Script) {
    let (mut young, mut old) = (VecDeque::new(), VecDeque::new());
    for k in 0..200_000_u64 {
        let bytes = script.scaled(16, 6);
        let object = script.new_object(bytes);
        if script.below(10) == 0 {
            old.push_back(object);
        } else {
            young.push_back(object);
        }
        if young.len() > 90 {
            script.drop_all(young.pop_front());
        }
        if old.len() > 5000 {
            script.drop_all(old.pop_front());
        }
        if k % 10_000 == 9999 {
            script.snapshot(format_args!("object{k}"));
        }
    }
}

/// Sizes at, below and above the limits of classes.
fn boundaries(script: &mut Script) {
    let sizes = |script: &mut Script| {
        let edges = [
            8, 16, 24, 32, 48, 64, 128, 256, 512, 1024, 1152, 2048, 4096, 8192, 16_384, 32_768,
        ];
        edges[script.below(16) as usize] - 1 + script.below(3)
    };
    let mut objects = Vec::new();
    replace(script, &mut objects, (6000, 60_000), sizes, "edge");
    replace(script, &mut objects, (6000, 60_000), sizes, "again");
}

/// Most of a heap of one size dies, all over it; another size comes.
fn comb(script: &mut Script) {
    for (round, bytes) in [64, 256, 1024, 96, 4096].into_iter().enumerate() {
        let all: Vec<_> = (0..24 * MIB / bytes)
            .map(|_| script.new_object(bytes))
            .collect();
        script.snapshot(format_args!("full{round}"));
        let (mut teeth, mut gone) = (Vec::new(), Vec::new());
        for (i, object) in all.into_iter().enumerate() {
            if i % 8 == 0 {
                teeth.push(object);
            } else {
                gone.push(object);
            }
        }
        script.drop_all(gone);
        script.snapshot(format_args!("comb{round}"));
        script.collect();
        script.snapshot(format_args!("collected{round}"));
        let other: Vec<_> = (0..10 * MIB / 384)
            .map(|_| script.new_object(384))
            .collect();
        script.snapshot(format_args!("other{round}"));
        script.drop_all(teeth);
        script.drop_all(other);
    }
    script.collect();
    script.snapshot(format_args!("end"));
}

/// Every second object dies, and as many of its size come again.
fn every_second(script: &mut Script) {
    let mut objects: Vec<_> = (0..40_000)
        .map(|i| script.new_object(32 + i % 4 * 80))
        .collect();
    script.snapshot(format_args!("full"));
    for round in 0..20 {
        let mut kept = Vec::new();
        for (i, object) in objects.into_iter().enumerate() {
            if i % 2 == round % 2 {
                script.drop(object);
            } else {
                kept.push(object);
            }
        }
        let missing = 40_000 - kept.len() as u64;
        kept.extend((0..missing).map(|i| script.new_object(32 + i % 4 * 80)));
        objects = kept;
        script.snapshot(format_args!("round{round}"));
    }
}

/// The same replacement under one GOGC after another.
fn gogc(script: &mut Script) {
    let mut objects = Vec::new();
    for percent in [100, 25, 800, 50, 300, 100] {
        script.percent(percent);
        let sizes = |script: &mut Script| script.scaled(128, 5);
        replace(
            script,
            &mut objects,
            (12_000, 40_000),
            sizes,
            &format!("gogc{percent}-"),
        );
    }
}

/// Work, a rest in which memory may go back, more work.
fn idle_phases(script: &mut Script) {
    for phase in 0..4 {
        let objects: Vec<_> = (0..6000)
            .map(|_| {
                let bytes = script.between(4 * KIB, 24 * KIB);
                script.new_object(bytes)
            })
            .collect();
        script.snapshot(format_args!("busy{phase}"));
        script.drop_all(objects);
        script.collect();
        if phase % 2 == 1 {
            script.collect();
        }
        for rest in 0..4 {
            script.sleep(150);
            script.snapshot(format_args!("rest{phase}-{rest}"));
        }
    }
}

/// Objects of 32 KiB to 4 MiB, up to 150 MiB of them and down again.
fn large_sawtooth(script: &mut Script) {
    let mut objects = Vec::new();
    for tooth in 0..8 {
        let mut held = 0;
        while held < 100 * MIB + tooth % 3 * 25 * MIB {
            let bytes = script.scaled(32 * KIB, 7);
            objects.push(script.new_object(bytes));
            held += bytes;
        }
        script.snapshot(format_args!("peak{tooth}"));
        while objects.len() > 20 {
            let gone = script.pick(&mut objects);
            script.drop(gone);
        }
        script.snapshot(format_args!("valley{tooth}"));
    }
}

/// A stack that grows and unwinds.
fn lifo(script: &mut Script) {
    let mut stack: Vec<Object> = Vec::new();
    for k in 0..24 {
        let deep = [60_000, 5000, 30_000, 500][k % 4];
        while stack.len() < deep {
            let bytes = script.scaled(32, 5);
            stack.push(script.new_object(bytes));
        }
        script.snapshot(format_args!("deep{k}"));
        let shallow = stack.len() / 4;
        let gone = stack.split_off(shallow);
        script.drop_all(gone.into_iter().rev());
        script.snapshot(format_args!("shallow{k}"));
    }
}

/// Replacement close to a memory limit.
fn limit_churn(script: &mut Script) {
    script.limit(64 * MIB);
    let sizes = |script: &mut Script| script.scaled(256, 6);
    let mut objects = Vec::new();
    for (step, live) in [4000, 10_000, 14_000, 16_000, 8000].into_iter().enumerate() {
        while objects.len() > live {
            let gone = script.pick(&mut objects);
            script.drop(gone);
        }
        replace(
            script,
            &mut objects,
            (live, 30_000),
            sizes,
            &format!("limit{step}-"),
        );
    }
}

/// All but one object of each span die: nothing goes idle.
fn one_a_span(script: &mut Script) {
    let mut kept = Vec::new();
    for round in 0..6 {
        let objects: Vec<_> = (0..60_000).map(|_| script.new_object(128)).collect();
        script.snapshot(format_args!("full{round}"));
        for (i, object) in objects.into_iter().enumerate() {
            if i % 63 == 0 {
                kept.push(object);
            } else {
                script.drop(object);
            }
        }
        script.snapshot(format_args!("pinned{round}"));
        let large: Vec<_> = (0..150).map(|_| script.new_object(20 * KIB)).collect();
        script.snapshot(format_args!("large{round}"));
        script.drop_all(large);
    }
    script.drop_all(kept);
    script.collect();
    script.snapshot(format_args!("end"));
}

/// What lives gets less and less while the program goes on.
fn shrinking(script: &mut Script) {
    let sizes = |script: &mut Script| script.scaled(48, 7);
    let mut objects = Vec::new();
    for (step, live) in [40_000, 24_000, 12_000, 6000, 3000, 1000]
        .into_iter()
        .enumerate()
    {
        while objects.len() > live {
            let gone = script.pick(&mut objects);
            script.drop(gone);
        }
        replace(
            script,
            &mut objects,
            (live, 50_000),
            sizes,
            &format!("step{step}-"),
        );
    }
}

/// Many small objects, most of which die, and then one large one.
fn small_then_large(script: &mut Script) {
    for round in 0..6 {
        let objects: Vec<_> = (0..100_000)
            .map(|_| {
                let bytes = script.between(16, 160);
                script.new_object(bytes)
            })
            .collect();
        script.snapshot(format_args!("small{round}"));
        let mut kept = objects;
        let gone = kept.split_off(10_000);
        script.drop_all(gone);
        let large = script.new_object((8 << (round % 3)) * MIB);
        script.snapshot(format_args!("large{round}"));
        script.drop(large);
        script.drop_all(kept);
        script.snapshot(format_args!("dropped{round}"));
    }
}

/// Objects of 1 to 15 bytes; one in twenty lives on.
fn tiny(script: &mut Script) {
    let mut kept = Vec::new();
    for k in 0..400_000_u64 {
        let bytes = script.between(1, 15);
        if k % 20 != 0 {
            script.pass(bytes);
        } else {
            kept.push(script.new_object(bytes));
            if kept.len() > 15_000 {
                let gone = script.pick(&mut kept);
                script.drop(gone);
            }
        }
        if k % 20_000 == 0 {
            script.snapshot(format_args!("tiny{k}"));
        }
    }
}
