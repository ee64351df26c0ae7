//! Sums, owners and sentences.

use super::*;
use proptest::prelude::*;

const SMAPS: &str = "\
55b2d4570000-55b2d4572000 r-xp 00000000 fe:00 247282                     /usr/bin/it
Rss:                   8 kB
VmFlags: rd mr mw me
55b2d4572000-55b2d4578000 rw-p 00000000 00:00 0
Rss:                   4 kB
55b2e0000000-55b2e0100000 rw-p 00000000 00:00 0                          [heap]
Rss:                 100 kB
c000000000-c000400000 rw-p 00000000 00:00 0                              [anon:goheap: heap]
Rss:                1000 kB
LazyFree:             60 kB
c000400000-c000800000 rw-p 00000000 00:00 0
Rss:                  24 kB
c000800000-c004000000 ---p 00000000 00:00 0
Rss:                   0 kB
7f0000000000-7f0000001000 ---p 00000000 00:00 0
Rss:                   0 kB
7f0000001000-7f0000801000 rw-p 00000000 00:00 0
Rss:                  16 kB
7f1000000000-7f1000100000 rw-p 00000000 00:00 0                          [anon:goheap: metadata]
Rss:                  40 kB
LazyFree:              8 kB
7f2000000000-7f2000001000 r--p 00000000 fe:00 3                          /lib/libc.so.6
Rss:                   4 kB
7f2000001000-7f2000002000 r--s 00000000 fe:00 4                          /tmp/a file: data
Rss:                  12 kB
7f2fc0000000-7f3000000000 ---p 00000000 00:00 0
Rss:                   0 kB
7f3000000000-7f3000100000 rw-p 00000000 00:00 0
Rss:                 150 kB
7f3100000000-7f3100001000 ---p 00000000 00:00 0
Rss:                   0 kB
7f3100001000-7f3110000000 rw-p 00000000 00:00 0
Rss:                  50 kB
7ffe00000000-7ffe00021000 rw-p 00000000 00:00 0                          [stack]
Rss:                  20 kB
";

fn maps() -> Mappings {
    Mappings::read(SMAPS, "/usr/bin/it", 0xc0_0000_0000..0xc0_0080_0000)
}

fn held() -> Holdings {
    let mut held = Holdings::from_words(&[0; HELD_WORDS]);
    held.sampled = None;
    held.live = 500 << 10;
    held.dead = 300 << 10;
    held.released = 80 << 10;
    held.retained = 100 << 10;
    held.free[5] = 44 << 10;
    held.span_blocks = 10 << 10;
    held.cache_blocks = 20 << 10;
    held
}

#[test]
fn each_mapping_is_somebodys() {
    let kib = |n: u64| n << 10;
    let expected = Mappings {
        heap: kib(1024),
        lazily_freed: kib(60),
        metadata: kib(40),
        stacks: kib(36),
        c_heap: kib(300),
        files: kib(12),
        binary: kib(16),
        others: 0,
    };
    assert_eq!(maps(), expected);
    assert_eq!(Mappings::read("", "", 0..0), Mappings::default());
}

#[test]
fn mappings_that_are_named_by_the_kernel_or_libc_are_known_by_their_names() {
    let of = |path: &str| {
        let smaps =
            format!("7f0000000000-7f0000001000 rw-p 00000000 00:00 0    {path}\nRss:  4 kB\n");
        Mappings::read(&smaps, "/usr/bin/it", 0..0)
    };
    assert_eq!(of("[vdso]").binary, 4096);
    assert_eq!(of("[anon: glibc: malloc arena]").c_heap, 4096);
    assert_eq!(of("[anon: glibc: pthread stack: 7]").stacks, 4096);
    assert_eq!(of("[anon:goheap: guarded]").metadata, 4096);
    assert_eq!(of("[vvar]").others, 4096);
    assert_eq!(of("[vvar]").total(), 4096);
    assert_eq!(maps().total(), (1024 + 40 + 36 + 300 + 12 + 16) << 10);
}

/// What lies further off is somebody else's.
#[test]
fn only_what_follows_a_program_s_file_at_once_is_its_variables() {
    let smaps = "\
55b2d4570000-55b2d4572000 r-xp 00000000 fe:00 247282                     /usr/bin/it
Rss:                   8 kB
55b2d4600000-55b2d4700000 rw-p 00000000 00:00 0
Rss:                   4 kB
";
    let read = Mappings::read(smaps, "/usr/bin/it", 0..0);
    assert_eq!((read.binary >> 10, read.c_heap >> 10), (8, 4));
}

#[test]
fn what_was_released_and_is_resident_was_lazily_freed_or_came_with_a_huge_page() {
    let explained = Explanation::of(&held(), &maps(), 0);
    let kib = |cause| explained.bytes(cause) >> 10;
    assert_eq!((kib(Cause::LazilyFreed), kib(Cause::HugePages)), (60, 20));
    assert_eq!((kib(Cause::Live), kib(Cause::Free)), (500, 44));
    assert_eq!(kib(Cause::TableData), 10);
    assert_eq!(kib(Cause::Unknown), 0);
}

#[test]
fn what_nobody_explains_is_unknown_wherever_it_lies() {
    // Three quarters of the live bytes are all that the heap knows of; a mapping is of no known kind.
    let mut held = held();
    held.live -= 125 << 10;
    let mut maps = maps();
    maps.others = 7 << 10;
    let explained = Explanation::of(&held, &maps, 0);
    assert_eq!(explained.bytes(Cause::Unknown), (125 + 7) << 10);
    assert_eq!(explained.live(), 375 << 10);
}

#[test]
fn live_is_as_requested_and_rounding_where_something_is_sampled() {
    let all = Explanation::of(&held(), &maps(), 0);
    assert_eq!(all.name(Cause::Live), "live, with rounding");
    let mut sampled = held();
    let requested = Requested {
        bytes: 400 << 10,
        error: 50 << 10,
    };
    sampled.sampled = Some(Sampled {
        requested,
        in_use: 77,
    });
    let apart = Explanation::of(&sampled, &maps(), 0);
    assert_eq!(apart.name(Cause::Live), "live as requested");
    let kib = |explained: &Explanation, cause| explained.bytes(cause) >> 10;
    assert_eq!(
        (kib(&apart, Cause::Live), kib(&apart, Cause::Rounding)),
        (400, 100)
    );
    assert_eq!(apart.live(), all.live());
    assert_eq!(apart.sampled, sampled.sampled);
    // Where the kernel counts less, both are as much less.
    let mut maps = maps();
    maps.heap -= 100 << 10;
    let less = Explanation::of(&sampled, &maps, 0);
    assert_eq!(
        (kib(&less, Cause::Live), kib(&less, Cause::Rounding)),
        (320, 80)
    );
    assert_eq!(less.sampled.map(|s| s.requested.error), Some(40 << 10));
}

#[test]
fn what_follows_a_page_that_nobody_may_touch_is_a_stack_unless_the_page_has_a_name() {
    let after = |name: &str| {
        let smaps = format!(
            "7f0000000000-7f0000001000 ---p 00000000 00:00 0 {name}\n\
             7f0000001000-7f0000801000 rw-p 00000000 00:00 0\n\
             Rss: 16 kB\n"
        );
        let maps = Mappings::read(&smaps, "", 0..0);
        (maps.stacks, maps.c_heap)
    };
    assert_eq!(after(""), (16 << 10, 0));
    assert_eq!(after("[anon:goheap: guarded]"), (0, 16 << 10));
}

#[test]
fn what_went_back_meanwhile_is_taken_off_what_was_retained() {
    let mut maps = maps();
    maps.heap -= 70 << 10;
    let mut held = held();
    held.released_ever = 1000 << 10;
    let kib = |explained: &Explanation, cause| explained.bytes(cause) >> 10;
    // Pages that were only read.
    let read = Explanation::of(&held, &maps, 1000 << 10);
    assert_eq!(
        (kib(&read, Cause::Live), kib(&read, Cause::Retained)),
        (430, 100)
    );
    let gone = Explanation::of(&held, &maps, 1060 << 10);
    assert_eq!(
        (kib(&gone, Cause::Live), kib(&gone, Cause::Retained)),
        (490, 40)
    );
    let more = Explanation::of(&held, &maps, 9999 << 10);
    assert_eq!(
        (kib(&more, Cause::Live), kib(&more, Cause::Retained)),
        (500, 30)
    );
}

#[test]
fn metadata_is_told_from_cs_heap_where_mappings_have_no_names() {
    let mut maps = maps();
    maps.c_heap += core::mem::take(&mut maps.metadata);
    let mut held = held();
    held.table_blocks = 10 << 10;
    let named = Explanation::of(&held, &self::maps(), 0);
    assert_eq!(Explanation::of(&held, &maps, 0), named);
}

#[test]
fn the_largest_causes_are_told_with_what_moves_them() {
    let settings = Settings {
        gc_percent: 100,
        trigger: 1000,
    };
    let told = |settings| {
        sentences(
            &Explanation::of(&held(), &maps(), 0),
            settings,
            2,
            |class| class as u64 * 8,
            |bytes| format!("{bytes} B"),
        )
    };
    let both = told(settings);
    assert_eq!(both.len(), 2);
    assert!(both[0].starts_with("512000 B is live"), "{both:?}");
    assert!(
        both[1].contains("cycle at 1000 B: GOGC=50 would"),
        "{both:?}"
    );
    let off = Settings {
        gc_percent: -1,
        trigger: u64::MAX,
    };
    assert!(told(off)[1].contains("GOGC=off"));
}

#[test]
fn what_is_live_is_told_apart_from_rounding_only_where_something_is_sampled() {
    let told = |sampled| {
        let mut explained = Explanation::of(&held(), &maps(), 0);
        explained.sampled = sampled;
        let settings = Settings {
            gc_percent: 100,
            trigger: 1 << 60,
        };
        let amount = |bytes| format!("{bytes} B");
        sentences(&explained, settings, 2, |class| class as u64 * 8, amount)
    };
    let sampled = Sampled {
        requested: Requested { bytes: 1, error: 0 },
        in_use: 1,
    };
    assert!(told(None)[0].contains("cannot be told apart"));
    assert!(!told(Some(sampled))[0].contains("cannot be told apart"));
    assert!(
        told(None)[1].contains("the next cycle: GOGC"),
        "that is never"
    );
}

/// What is said of a heap most of which has this cause.
fn told_of(cause: Cause, settings: Settings) -> String {
    let mut explained = Explanation::of(&held(), &maps(), 0);
    for (each, bytes) in &mut explained.causes {
        *bytes = u64::from(*each == cause) * 7000;
    }
    explained.free = [0; CLASSES];
    explained.free[3] = 4000;
    explained.free[4] = 3000;
    let size = |class| class as u64 * 8;
    let told = sentences(&explained, settings, 2, size, |bytes| format!("{bytes} B"));
    assert_eq!(
        told.len(),
        1,
        "of what is not there nothing is said: {told:?}"
    );
    told[0].clone()
}

#[test]
fn each_cause_is_told_with_what_moves_it() {
    let settings = Settings {
        gc_percent: 100,
        trigger: 1000,
    };
    for (cause, moves) in [
        (Cause::Rounding, "sizes just under a class"),
        (Cause::Dead, "GOGC=50 would"),
        (Cause::Free, "4000 B of it for objects of 24 bytes"),
        (Cause::Tails, "sizes that fill a class"),
        (Cause::Caches, "fewer threads that allocate"),
        (Cause::Retained, "GOMEMLIMIT"),
        (Cause::LazilyFreed, "madvdontneed=1"),
        (Cause::HugePages, "disablethp=1"),
        (Cause::SpanData, "fewer and larger objects"),
        (Cause::CacheData, "fewer and larger objects"),
        (Cause::TableData, "fewer and larger objects"),
        (Cause::Stacks, "fewer threads"),
        (Cause::CHeap, "a leak in C code"),
        // Preloaded, this heap is C's, and what is left is mostly a runtime's.
        (Cause::CHeap, "for their objects: no knob of this heap"),
        (Cause::Files, "the kernel takes back"),
        (Cause::Binary, "stripping"),
        (Cause::Unknown, "no known cause"),
    ] {
        let told = told_of(cause, settings);
        assert!(told.starts_with("7000 B "), "{told}");
        assert!(told.contains(moves), "{cause:?}: {told}");
    }
}

#[test]
fn what_is_dead_is_told_with_when_its_cycle_comes_if_it_does() {
    let told = |gc_percent, trigger| {
        told_of(
            Cause::Dead,
            Settings {
                gc_percent,
                trigger,
            },
        )
    };
    assert!(told(100, u64::MAX).contains("the next cycle: GOGC=50 would"));
    assert!(told(100, (1 << 60) - 1).contains("the next cycle at 1152921504606846975 B"));
    assert!(told(2, 1000).contains("GOGC=1 would"));
    assert!(told(1, 1000).contains("which GOGC=1 brings as early as a GOGC can"));
    assert!(told(0, 1000).contains("which GOGC=0 brings as early"));
    assert!(told(-1, u64::MAX).contains("GOGC=off puts off"));
}

proptest! {
    #[test]
    fn causes_add_up_to_what_the_kernel_counts(
        words in proptest::collection::vec(0u64..1 << 40, HELD_WORDS),
        heap in 0u64..1 << 45,
        released_ever: u64,
        metadata in 0u64..1 << 42,
        lazily_freed in 0u64..1 << 40,
    ) {
        let held = Holdings::from_words(&core::array::from_fn(|i| words[i]));
        let maps = Mappings { heap, metadata, lazily_freed, ..maps() };
        let explained = Explanation::of(&held, &maps, released_ever);
        let sum: u64 = explained.causes.iter().map(|(_, bytes)| bytes).sum();
        prop_assert_eq!(sum, explained.rss);
        prop_assert_eq!(sum, maps.total());
    }
}

#[test]
fn memory_that_others_named_is_others_and_a_library_stays_one_when_it_is_deleted() {
    let owner = |path: &str| {
        let smaps =
            format!("7f0000000000-7f0000001000 rw-p 00000000 00:00 0    {path}\nRss: 4 kB\n");
        Mappings::read(&smaps, "/usr/bin/it", 0..0)
    };
    assert_eq!(owner("[anon: Go: heap]").c_heap, 4096);
    assert_eq!(owner("[anon_shmem:cache]").files, 4096);
    assert_eq!(owner("/usr/lib/a.so (deleted)").binary, 4096);
    assert_eq!(owner("[anon:goheap: heap]").heap, 4096);
    assert_eq!(owner("[vvar]").others, 4096);
}

#[test]
fn a_cycle_that_the_limit_brings_is_told_with_it() {
    let settings = Settings {
        gc_percent: -1,
        trigger: 1000,
    };
    let told = told_of(Cause::Dead, settings);
    assert!(
        told.contains("at 1000 B, which GOMEMLIMIT brings"),
        "{told}"
    );
    assert!(told_of(Cause::Files, settings).contains("shared memory"));
}
