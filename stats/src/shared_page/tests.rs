//! One page, both sides.

use super::*;
use crate::MemStats;
use std::sync::atomic::AtomicBool;

fn page() -> SharedPage {
    SharedPage {
        magic: 0.into(),
        version: 0.into(),
        life: 0.into(),
        kept: 0.into(),
        request: 0.into(),
        answered: 0.into(),
        command: 0.into(),
        result: 0.into(),
        class_sizes: [const { AtomicU32::new(0) }; CLASSES],
        gc_percent: 0.into(),
        memory_limit: 0.into(),
        behind: 0.into(),
        owner: 0.into(),
        published: 0.into(),
        snapshots: [const { [const { AtomicU64::new(0) }; WORDS] }; 2],
        holdings: [const { AtomicU64::new(0) }; HELD_WORDS],
    }
}

/// A snapshot whose figures all follow from `n`.
fn snapshot(n: u64) -> Snapshot {
    let mut stats = MemStats::zeroed();
    stats.heap_alloc = n;
    stats.num_gc = n as u32;
    stats.gc_cpu_fraction = n as f64 / 1e9;
    let classes = core::array::from_fn(|_| Default::default());
    let mut snapshot = Snapshot::zeroed().with(&stats, classes);
    snapshot.taken_ns = n;
    snapshot.gc_percent = -1;
    for (class, counts) in snapshot.classes.iter_mut().enumerate() {
        counts.size = 8 * class as u32;
        counts.mallocs = n + class as u64;
        counts.frees = n;
    }
    snapshot
}

fn begun() -> SharedPage {
    let page = page();
    page.begin(7, |class| 8 * class as u32);
    page
}

#[test]
fn what_is_published_is_read() {
    let page = begun();
    assert_eq!(page.snapshot(), None);
    for n in [1, 2, 3] {
        page.publish(&snapshot(n), false);
        assert_eq!(page.snapshot(), Some(snapshot(n)));
    }
}

#[test]
fn no_reader_sees_parts_of_two_snapshots() {
    let page = begun();
    let done = AtomicBool::new(false);
    page.publish(&snapshot(0), false);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut last = 0;
            while !done.load(Relaxed) {
                let Some(read) = page.snapshot() else {
                    continue;
                };
                assert_eq!(read, snapshot(read.taken_ns));
                assert!(read.taken_ns >= last);
                last = read.taken_ns;
            }
            last
        });
        (1..20_000).for_each(|n| page.publish(&snapshot(n), false));
        done.store(true, Relaxed);
        assert!(reader.join().is_ok());
    });
}

#[test]
fn a_command_is_handed_out_once_and_its_answer_seen() {
    let page = begun();
    assert_eq!(page.asked(), None);
    let set = Command::Set {
        gc_percent: Some(-1),
        memory_limit: None,
    };
    for command in [
        Command::Gc,
        set,
        Command::FreeOsMemory,
        Command::Explain,
        Command::Map { bytes: 1 << 20 },
        Command::Profile { peak: false },
        Command::Profile { peak: true },
        Command::Set {
            gc_percent: Some(-1),
            memory_limit: Some(0),
        },
        Command::Look,
    ] {
        let request = page.ask(command);
        assert!(!page.has_answered(request));
        assert_eq!(page.asked(), Some((request, Some(command))));
        assert_eq!(page.asked(), Some((request, Some(Command::Look))));
        page.answer(request, true);
        assert!(page.has_answered(request) && page.was_carried_out());
        assert_eq!(page.asked(), None);
    }
}

#[test]
fn an_answer_to_the_last_request_is_one_to_those_before_it() {
    let page = begun();
    let first = page.ask(Command::Look);
    let last = page.ask(Command::Gc);
    assert_eq!(page.request().load(Relaxed), last);
    page.answer(first, true);
    assert!(page.has_answered(first) && !page.has_answered(last));
    page.answer(last, false);
    assert!(page.has_answered(first) && page.has_answered(last));
    assert_eq!(page.answered().load(Relaxed), last);
    assert!(!page.was_carried_out());
    // Numbers begin anew after the largest; what is half of all of them away is yet to come.
    page.answer(first.wrapping_add(u32::MAX / 2), true);
    assert!(!page.has_answered(first) && page.has_answered(first + 1));
}

#[test]
fn a_thread_that_is_rung_for_comes_by_as_if_it_was_to_look() {
    let page = begun();
    assert_eq!(page.asked(), None);
    page.ring();
    assert_eq!(page.asked(), Some((1, Some(Command::Look))));
}

#[test]
fn nonsense_is_no_command() {
    let page = begun();
    let request = page.ask(Command::Set {
        gc_percent: None,
        memory_limit: Some(-1),
    });
    assert_eq!(page.asked(), Some((request, None)));
    page.ask(Command::Look);
    page.command.store(99, Relaxed);
    assert!(matches!(page.asked(), Some((_, None))));
}

#[test]
fn the_end_of_a_program_repeats_no_command() {
    let page = begun();
    let request = page.ask(Command::Gc);
    assert!(page.asked().is_some());
    page.answer(request, true);
    page.end();
    assert!(matches!(page.asked(), Some((_, Some(Command::Look)))));
    assert_eq!(page.life(), Life::Ending);
    page.publish(&snapshot(1), true);
    assert_eq!(page.life(), Life::Ended);
}

#[test]
fn a_page_that_was_prepared_is_taken_over_and_kept() {
    let page = page();
    assert_eq!(page.check(), Err(Mismatch::NotAPage));
    page.prepare();
    assert_eq!((page.check(), page.life()), (Ok(()), Life::Prepared));
    page.begin(1, |_| 0);
    assert_eq!((page.life(), page.is_kept()), (Life::Running, true));
    assert!(page.is_owned_by(1) && !page.is_owned_by(2));
    assert!(!begun().is_kept(), "nobody prepared that one");
}

#[test]
fn another_version_is_told() {
    let page = begun();
    page.version.store(VERSION + 1, Relaxed);
    assert_eq!(page.check(), Err(Mismatch::Version(VERSION + 1)));
}

#[test]
fn a_name_reads_back() {
    let identity = Identity {
        namespace: 4_026_531_836,
        pid: 1234,
        started: 99,
    };
    let mut name = String::new();
    identity.write_name(&mut name).unwrap();
    assert_eq!(Identity::from_name(&name), Some(identity));
    for other in [
        "goheap-",
        "goheap-1-2",
        "goheap-1-2-3-4",
        "goheap-a-2-3",
        "sem.x",
    ] {
        assert_eq!(Identity::from_name(other), None, "{other}");
    }
}

#[test]
fn what_memory_holds_is_read_as_it_was_shown() {
    let page = begun();
    let shown = Holdings::from_words(&core::array::from_fn(|i| i as u64 + 1));
    page.show_holdings(&shown);
    assert_eq!(page.holdings(), shown);
    assert_eq!(shown.words()[0], 1);
}
