//! Heap profiles in files: on SIGUSR1, at exit, and of the moment at which the heap was at its largest.

use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use goheap::profile::Profile;

#[path = "support/child.rs"]
mod child;
#[path = "support/pprof.rs"]
mod pprof;

#[global_allocator]
static HEAP: goheap::GoHeap = goheap::GoHeap::new();

/// A folder of a test's own.
fn folder(test: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("goheap-{test}-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder can be made");
    folder
}

fn within<'a>(folder: &'a Path, settings: &'a [(&str, &str)]) -> impl FnOnce(&mut Command) + 'a {
    move |command| {
        command.current_dir(folder).envs(settings.iter().copied());
    }
}

fn wait_for(path: &Path) {
    let begun = Instant::now();
    while !path.exists() {
        assert!(
            begun.elapsed() < Duration::from_secs(60),
            "{} does not come",
            path.display()
        );
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[inline(never)]
fn objects(n: usize) -> Vec<Vec<u8>> {
    (0..n).map(|_| vec![1u8; 1024]).collect()
}

fn raise() {
    // SAFETY: sends a signal to this process.
    unsafe { libc::kill(libc::getpid(), libc::SIGUSR1) };
}

#[test]
fn a_signal_writes_a_profile_each_time_into_the_working_directory() {
    let folder = folder("signal");
    child::run(
        a_signal_writes_a_profile_each_time_into_the_working_directory,
        // Of 20 MiB, 2500 samples: the 2.9 MB below are seven standard errors.
        within(&folder, &[("GOHEAP_PROFILE_RATE", "8KiB")]),
        || {
            let kept = black_box(objects(20_000));
            for number in 0..2 {
                goheap::gc();
                raise();
                let name = format!("goheap.{}.{number}.pb.gz", std::process::id());
                wait_for(Path::new(&name));
            }
            child::report("pid", std::process::id());
            black_box(kept);
        },
    )
    .expect_success();
    let mut files: Vec<PathBuf> = std::fs::read_dir(&folder)
        .expect("the folder is there")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    files.sort();
    assert_eq!(files.len(), 2, "{files:?}");
    let Some(go) = pprof::go() else { return };
    let (rows, total) = pprof::top(&go, &["-sample_index=inuse_space"], &files[1]);
    assert!((18e6..26e6).contains(&total), "{total}: {rows:?}");
    std::fs::remove_dir_all(folder).expect("the folder is there");
}

#[test]
fn a_signal_takes_the_next_number_that_is_free() {
    let folder = folder("free-number");
    child::run(
        a_signal_takes_the_next_number_that_is_free,
        within(&folder, &[]),
        || {
            let name = |rest| format!("goheap.{}.{rest}", std::process::id());
            // As of another who writes some, an earlier process of this number say.
            for there in ["0.pb.gz", "1.peak.pb.gz"] {
                std::fs::write(name(there), there).expect("a file can be written");
            }
            raise();
            wait_for(Path::new(&name("2.pb.gz")));
            for there in ["0.pb.gz", "1.peak.pb.gz"] {
                let kept = std::fs::read_to_string(name(there)).expect("it is there");
                assert_eq!(kept, there);
            }
        },
    )
    .expect_success();
    std::fs::remove_dir_all(folder).expect("the folder is there");
}

#[test]
fn at_exit_two_profiles_are_written_where_they_are_to_go() {
    let folder = folder("exit");
    let settings = [
        ("GOHEAP_PROFILE_RATE", "64KiB"),
        ("GOHEAP_PROFILE", "%p-%n.pb.gz"),
        ("GOHEAP_PROFILE_AT_EXIT", "1"),
    ];
    let outcome = child::run(
        at_exit_two_profiles_are_written_where_they_are_to_go,
        within(&folder, &settings),
        || {
            drop(black_box(objects(50_000)));
            goheap::gc();
            goheap::gc();
            child::report("pid", std::process::id());
        },
    )
    .expect_success();
    let pid = outcome.reported("pid");
    let (now, peak) = (
        folder.join(format!("{pid}-0.pb.gz")),
        folder.join(format!("{pid}-0.peak.pb.gz")),
    );
    assert!(now.exists() && peak.exists(), "{outcome}");
    let Some(go) = pprof::go() else { return };
    let (_, at_end) = pprof::top(&go, &["-sample_index=inuse_space"], &now);
    let (_, at_peak) = pprof::top(&go, &["-sample_index=inuse_space"], &peak);
    assert!((45e6..62e6).contains(&at_peak), "{at_peak}");
    assert!(at_end < 5e6, "{at_end}");
    std::fs::remove_dir_all(folder).expect("the folder is there");
}

#[test]
fn a_program_with_a_handler_of_its_own_keeps_it_and_is_told_once() {
    let folder = folder("handler");
    let outcome = child::run(
        a_program_with_a_handler_of_its_own_keeps_it_and_is_told_once,
        within(&folder, &[("GOHEAP_PROFILE", "own.%n")]),
        || {
            use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
            static SEEN: AtomicU32 = AtomicU32::new(0);
            extern "C" fn own(_: libc::c_int) {
                SEEN.fetch_add(1, SeqCst);
            }
            // SAFETY: the handler only counts.
            unsafe { libc::signal(libc::SIGUSR1, own as *const () as libc::sighandler_t) };
            // Cycles with garbage, so that the sweeper comes by.
            for _ in 0..20 {
                (0..5).for_each(|_| drop(black_box(objects(5_000))));
                std::thread::sleep(Duration::from_millis(100));
            }
            raise();
            // It may be another thread that gets it.
            let begun = Instant::now();
            while SEEN.load(SeqCst) == 0 && begun.elapsed() < Duration::from_secs(60) {
                std::thread::yield_now();
            }
            assert_eq!(SEEN.load(SeqCst), 1);
        },
    )
    .expect_success();
    let lines = outcome
        .stderr
        .matches("the program handles SIGUSR1 itself")
        .count();
    assert_eq!(lines, 1, "{outcome}");
    assert_eq!(std::fs::read_dir(&folder).expect("there").count(), 0);
    std::fs::remove_dir_all(folder).expect("the folder is there");
}

#[test]
fn the_largest_moment_is_kept_though_all_of_it_is_gone() {
    let folder = folder("peak");
    child::run(
        the_largest_moment_is_kept_though_all_of_it_is_gone,
        within(&folder, &[]),
        || {
            drop(black_box(objects(100_000)));
            goheap::gc();
            goheap::gc();
            let small = black_box(objects(2_000));
            let (peak, now) = (Profile::peak().total(), Profile::now().total());
            // Two hundred samples: 7 % is a standard error.
            assert!((75e6..140e6).contains(&peak.inuse_space), "{peak:?}");
            assert!(now.inuse_space < 10e6, "{now:?}");
            black_box(small);
        },
    )
    .expect_success();
    std::fs::remove_dir_all(folder).expect("the folder is there");
}

/// The largest moment is told by what is resident: idle pages that are kept count, too.
#[test]
fn what_comes_beside_idle_pages_is_the_largest_moment() {
    let folder = folder("beside");
    child::run(
        what_comes_beside_idle_pages_is_the_largest_moment,
        within(&folder, &[("GOGC", "off")]),
        || {
            // Idle runs of 4 MiB, between what stays.
            let mut runs: Vec<(Vec<u8>, Vec<u8>)> = (0..20)
                .map(|_| (vec![1u8; 4 << 20], vec![1u8; 64 << 10]))
                .collect();
            for (large, _) in &mut runs {
                *large = Vec::new();
            }
            goheap::gc();
            // Less than that was, but it fits nowhere.
            let large = black_box(vec![1u8; 48 << 20]);
            let peak = Profile::peak().total().inuse_space;
            assert!((48e6..60e6).contains(&peak), "{peak}");
            black_box((large, runs));
        },
    )
    .expect_success();
    std::fs::remove_dir_all(folder).expect("the folder is there");
}

#[test]
fn a_large_block_that_grows_where_it_is_counts_as_large_as_it_is() {
    let folder = folder("growth");
    child::run(
        a_large_block_that_grows_where_it_is_counts_as_large_as_it_is,
        within(&folder, &[]),
        || {
            let mut grown: Vec<u8> = Vec::with_capacity(64 << 10);
            for i in 0..(64 << 20) {
                grown.push(i as u8);
            }
            goheap::gc();
            let total = Profile::now().total();
            let mib = total.inuse_space / f64::from(1 << 20);
            assert!((60.0..140.0).contains(&mib), "{total:?}");
            assert!(goheap::check().is_ok());
            black_box(grown);
        },
    )
    .expect_success();
    std::fs::remove_dir_all(folder).expect("the folder is there");
}

/// A pipe, or `/dev/null`, that a profile is to go to is no file to be put aside.
#[test]
fn what_is_no_file_is_not_replaced() {
    use std::os::unix::fs::FileTypeExt;
    let folder = folder("no-file");
    let pipe = std::ffi::CString::new(folder.join("pipe").into_os_string().into_encoded_bytes());
    let pipe = pipe.expect("no null bytes");
    // SAFETY: a string that ends in a null byte.
    assert_eq!(unsafe { libc::mkfifo(pipe.as_ptr(), 0o600) }, 0);
    std::fs::write(folder.join("file"), "").expect("it can be written");
    std::os::unix::fs::symlink("file", folder.join("link")).expect("a link can be made");
    let run = |name: &'static str| {
        let settings = [("GOHEAP_PROFILE", name), ("GOHEAP_PROFILE_AT_EXIT", "1")];
        let test = what_is_no_file_is_not_replaced;
        child::run(test, within(&folder, &settings), || {
            drop(black_box(objects(5_000)));
        })
        .expect_success()
    };
    let told = run("pipe").stderr;
    let kind = |name: &str| {
        let there = std::fs::symlink_metadata(folder.join(name));
        there.expect("it is there").file_type()
    };
    assert!(kind("pipe").is_fifo(), "{told}");
    assert!(
        told.contains("cannot write the heap profile to pipe"),
        "{told}"
    );
    run("link");
    assert!(kind("link").is_symlink());
    let written = std::fs::metadata(folder.join("file")).expect("it is there");
    assert!(written.len() > 100);
    std::fs::remove_dir_all(folder).expect("the folder is there");
}
