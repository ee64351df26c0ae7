//! What threads can see of each other, in every order that the memory model allows.
//!
//! Where what threads share has a file of its own in `src/`, that very file is compiled here once more, over loom's
//! atomics ([`sync`]): the lock, the allocation word, the death log, a shared block's mask, a sweep's progress. What is around them (whose
//! turn it is under which lock) stands here once more, small: the same steps in the same order. loom runs through all
//! interleavings, and all that loads may see.
//!
//! A model shows something only if it can fail. So
//! - each ordering in those files is weakened once, and one of the file's models must fail then
//!   ([`each_ordering_is_needed`]: an ordering that no model asks for is a failure, too);
//! - each model is run with one of its own steps changed at a time ([`Flaw`]), and must fail.
//!
//! | protocol | models | steps changed |
//! | --- | --- | --- |
//! | a log drained by another thread; the flip of the epoch | `deaths::a_death_is_dealt_with_once…` | the log started anew without its lock; the tag outside the lock; deaths taken after the lock is given back |
//! | slots between caches and sweeps | `slots::` | the sweep reads death bytes first; who takes or gives back slots writes them last |
//! | spans between cache, central lists and sweepers | `sweeps::a_span…` | a cached span swept as if nobody had it; put back unswept; reclaimed on the strength of a look without the lock |
//! | the end of a sweep, and the next | `sweeps::a_sweep…`, `sweeps::who_sees…`, `sweeps::a_new_sweep…` | begun before all is known; a class left after its lock is given back |
//! | a thread's end while its objects are freed elsewhere | `deaths::a_cache…`, `sweeps::a_span…` | the cache handed on before its log is empty |
//! | a consistent snapshot | `deaths::a_snapshot…` | what was allocated read before the lock is taken |
//! | a block that tiny objects share | `deaths::of_those…` | its mask changed in two steps |
//!
//! Not shown, since loom does not model it: loads that see stores of a later time, and stores that take
//! effect in another order than they ran.

mod deaths;
mod locks;
mod os;
mod slots;
mod sweeps;
mod sync;

#[allow(dead_code, reason = "`progress.rs` has one of them")]
#[path = "../../src/counters.rs"]
mod counters;
#[allow(dead_code, reason = "models use what can go wrong")]
#[path = "../../src/death_log.rs"]
mod death_log;
#[allow(dead_code, reason = "models use what can go wrong")]
#[path = "../../src/lock.rs"]
mod lock;
#[allow(dead_code, reason = "models use what can go wrong")]
#[path = "../../src/span/mask.rs"]
mod mask;
#[allow(dead_code, reason = "models use what can go wrong")]
#[path = "../../src/heap/progress.rs"]
mod progress;
#[allow(dead_code, reason = "models use what can go wrong")]
#[path = "../../src/span/word.rs"]
mod word;

/// What `progress.rs` needs of the file of that name.
mod size_class {
    pub const CLASSES: usize = 2;
}

use std::panic::catch_unwind;

/// What a model does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flaw {
    Nothing,
    SweepReadsBytesFirst,
    TakeClearsAfterwards,
    ReturnMarksAfterwards,
    RestartWithoutLock,
    TagOutsideLock,
    DeathsTakenOutsideLock,
    HandedOnBeforeFlush,
    SnapshotReadsBeforeLock,
    ClearsInTwoSteps,
    CachedIsSweptAlone,
    PutBackUnswept,
    ReclaimTrustsItsFirstLook,
    BegunBeforeAllIsKnown,
    ClassLeftWithoutLock,
}

/// Runs the model as it is, which must hold, and with each of these flaws, which must fail.
fn holds_only_whole(model: fn(Flaw), flaws: &[Flaw]) {
    loom::model(move || model(Flaw::Nothing));
    for &flaw in flaws {
        let run = catch_unwind(move || loom::model(move || model(flaw)));
        assert!(run.is_err(), "{flaw:?} went unseen");
    }
}

/// Runs these models of a file, which must hold, and again with each of its orderings weakened: then one of them must
/// fail. `text` is what is in it.
fn each_ordering_is_needed(file: &str, text: &str, models: &[fn()]) {
    models.iter().for_each(|&model| loom::model(model));
    let seen = sync::seen();
    let seen: Vec<_> = seen.into_iter().filter(|w| w.is_of(file)).collect();
    assert_eq!(
        seen.len(),
        orderings_in(text),
        "of {file} were asked for: {seen:#?}"
    );
    for weakened in seen {
        let fails = models.iter().any(|&model| {
            sync::weaken(Some(weakened.clone()));
            let run = catch_unwind(move || loom::model(model));
            sync::weaken(None);
            run.is_err()
        });
        assert!(fails, "{weakened:?} went unseen");
    }
}

/// How many orderings the code names that can be weakened.
fn orderings_in(text: &str) -> usize {
    let code = text
        .lines()
        .map(|line| line.split("//").next().unwrap_or_default());
    let code = code.filter(|line| !line.starts_with("use "));
    code.flat_map(|line| line.split(|c: char| !c.is_alphanumeric()))
        .map(|word| match word {
            "Acquire" | "Release" => 1,
            "AcqRel" => 2,
            _ => 0,
        })
        .sum()
}
