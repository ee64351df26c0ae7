//! `goheap record` writes down what a program asks of its heap, all of it and nothing else, and
//! ends as the program does.

#[path = "support/recorded.rs"]
mod recorded;
mod support;

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::PoisonError;

use goheap_cli::trace::event::Act;
use tempfile::TempDir;

use recorded::{RECORDS, assert_consistent, compiled, count, record, recorded};
use support::{goheap, read, text};

#[test]
fn a_program_that_allocates_nothing_is_recorded_and_replayed() {
    let folder = tempfile::tempdir().unwrap();
    let source = "int main(void) { return 0; }";
    let Some(program) = compiled(&folder, source, &[]) else {
        return;
    };
    let file = folder.path().join("nothing");
    let output = record(&file, &[], &program, &[]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(recorded(&file).0.len(), 0);
    let replayed = goheap().arg("replay").arg(&file).output().unwrap();
    assert!(replayed.status.success(), "{}", text(&replayed.stderr));
}

const EVERY_CALL: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
int main(void) {
    void *kept[100];
    for (int i = 0; i < 1000; i++) {
        kept[i % 100] = malloc(70001 + i % 10);
        free(kept[i % 100]);
    }
    for (int i = 0; i < 50; i++) kept[i] = calloc(7, 11003);
    for (int i = 0; i < 50; i++) kept[i] = realloc(kept[i], 88001);
    for (int i = 0; i < 25; i++) free(kept[i]);
    void *p, *q = 0;
    if (posix_memalign(&p, 4096, 91001)) return 1;
    free(p);
    if (posix_memalign(&p, 3, 91001) == 0) return 2;
    p = aligned_alloc(64, 92032);
    p = realloc(p, 0);
    if (p) return 3;
    p = memalign(256, 93001);
    p = reallocarray(p, 2, 47001);
    if (reallocarray(p, 2, (size_t)-1)) return 4;
    if (realloc(p, (size_t)-1)) return 5;
    memset(p, 1, 94002);
    free(p);
    free(q);
    // Programs from before glibc 2.26 may call free by this name, which linkers know no more.
    void (*cfree)(void *) = (void (*)(void *))dlsym(RTLD_DEFAULT, "cfree");
    (cfree ? cfree : free)(malloc(95001));
    p = malloc((size_t)-1);
    if (p) return 6;
    return 42;
}
"#;

#[test]
fn every_call_of_a_c_program_is_recorded_once() {
    let folder = TempDir::new().unwrap();
    let Some(program) = compiled(&folder, EVERY_CALL, &[]) else {
        return;
    };
    let file = folder.path().join("trace");
    let output = record(&file, &[], &program, &[]);
    assert_eq!(output.status.code(), Some(42), "{}", text(&output.stderr));
    let (events, total) = recorded(&file);
    assert_eq!(total.threads, 1);
    assert_eq!((total.unknown, total.lost), (0, 0));
    assert_eq!(count(&events, 70_001..70_011), 1000);
    assert_eq!(count(&events, 77_021..77_022), 50, "calloc");
    assert_eq!(count(&events, 88_001..88_002), 50, "realloc");
    assert_eq!(count(&events, 91_001..91_002), 1, "posix_memalign");
    assert_eq!(count(&events, 92_032..92_033), 1, "aligned_alloc");
    assert_eq!(count(&events, 93_001..93_002), 1, "memalign");
    assert_eq!(count(&events, 94_002..94_003), 1, "reallocarray");
    assert_eq!(count(&events, 95_001..95_002), 1, "for cfree");
    assert_eq!(
        count(&events, 1 << 40..usize::MAX),
        0,
        "what fails is nothing"
    );
    let of = |wanted: usize| {
        events.iter().find_map(|event| match event.act {
            Act::Allocate {
                size,
                align,
                zeroed,
                ..
            } if size == wanted => Some((align, zeroed)),
            _ => None,
        })
    };
    assert_eq!(of(70_001), Some((0, false)));
    assert_eq!(of(77_021), Some((0, true)));
    assert_eq!(of(91_001), Some((12, false)));
    assert_eq!(of(92_032), Some((6, false)));
    assert_eq!(of(93_001), Some((8, false)));
    let left = assert_consistent(&events);
    let ours: Vec<_> = left.values().filter(|&&size| size > 60_000).collect();
    assert_eq!(ours, [&88_001; 25]);
}

#[test]
fn a_replay_allocates_what_was_recorded() {
    let folder = TempDir::new().unwrap();
    let Some(program) = compiled(&folder, EVERY_CALL, &[]) else {
        return;
    };
    let file = folder.path().join("trace");
    record(&file, &[], &program, &[]);
    let (events, _) = recorded(&file);
    let mut command = goheap();
    let output = command.arg("replay").arg(&file).output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    let lines: Vec<_> = text(&output.stdout).lines().map(str::to_owned).collect();
    let records = read(&lines);
    assert_eq!(records.len(), 21, "the baseline and twenty");
    let (first, last) = (&records[0].mem_stats, &records[20].mem_stats);
    let allocations = events
        .iter()
        .filter(|event| !matches!(event.act, Act::Free { .. }))
        .count();
    let live = assert_consistent(&events);
    // A realloc that stays within its size class is none; those here grow beyond it.
    let mallocs = last.mallocs - first.mallocs;
    assert!(
        mallocs.abs_diff(allocations as u64) <= 60,
        "{mallocs} of {allocations}"
    );
    let asked: usize = events
        .iter()
        .map(|event| match event.act {
            Act::Allocate { size, .. } | Act::Reallocate { size, .. } => size,
            Act::Free { .. } => 0,
        })
        .sum();
    let given = (last.total_alloc - first.total_alloc) as f64;
    // Large objects are rounded up to pages of 8 KiB.
    assert!(
        given >= asked as f64 && given < asked as f64 * 1.2,
        "{given} of {asked}"
    );
    assert!(last.heap_alloc > first.heap_alloc + live.values().sum::<usize>() as u64);
}

const THREADS: &str = r#"
#include <pthread.h>
#include <stdlib.h>
static void *slot[4];
static void *work(void *which) {
    size_t me = (size_t)which;
    for (int i = 0; i < 50000; i++) {
        void *mine = malloc(65001 + me);
        // Another thread may free what this one allocated.
        free(__atomic_exchange_n(&slot[i % 4], mine, __ATOMIC_ACQ_REL));
    }
    return 0;
}
int main(void) {
    pthread_t threads[4];
    for (size_t i = 0; i < 4; i++) pthread_create(&threads[i], 0, work, (void *)i);
    for (int i = 0; i < 4; i++) pthread_join(threads[i], 0);
    return 0;
}
"#;

#[test]
fn threads_that_free_each_others_objects_are_recorded_in_an_order_that_holds() {
    let folder = TempDir::new().unwrap();
    let Some(program) = compiled(&folder, THREADS, &[]) else {
        return;
    };
    let file = folder.path().join("trace");
    let output = record(&file, &[], &program, &[]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let (events, total) = recorded(&file);
    assert_eq!(total.threads, 5);
    assert_eq!((total.unknown, total.lost), (0, 0));
    for thread in 0..4 {
        let size = 65_001 + thread;
        assert_eq!(count(&events, size..size + 1), 50_000);
        let by: Vec<_> = events
            .iter()
            .filter(|event| matches!(event.act, Act::Allocate { size: s, .. } if s == size))
            .map(|event| event.thread)
            .collect();
        assert!(
            by.iter().all(|one| *one == by[0]),
            "one thread asks for {size}"
        );
    }
    let left = assert_consistent(&events);
    assert_eq!(
        left.values()
            .filter(|&&size| size > 65_000 && size < 65_010)
            .count(),
        4
    );

    // On as many threads as it has, the replay does the same.
    let output = goheap().arg("replay").arg(&file).output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    let lines: Vec<_> = text(&output.stdout).lines().map(str::to_owned).collect();
    let records = read(&lines);
    let (first, last) = (&records[0].mem_stats, &records[20].mem_stats);
    let asked = events
        .iter()
        .filter(|event| matches!(event.act, Act::Allocate { .. }))
        .count() as u64;
    let mallocs = last.mallocs - first.mallocs;
    assert!(
        mallocs >= asked && mallocs < asked + 100,
        "{mallocs} of {asked}"
    );
}

#[test]
fn a_crash_loses_nothing_and_is_passed_on() {
    let folder = TempDir::new().unwrap();
    let source = "#include <signal.h>\n#include <stdlib.h>\nint main(void) {
        for (int i = 0; i < 12345; i++) malloc(333331);
        raise(SIGSEGV);
    }";
    let Some(program) = compiled(&folder, source, &[]) else {
        return;
    };
    let file = folder.path().join("trace");
    let output = record(&file, &[], &program, &[]);
    assert_eq!(output.status.signal(), Some(libc::SIGSEGV));
    let (events, _) = recorded(&file);
    assert_eq!(count(&events, 333_331..333_332), 12_345);
}

const FORKS: &str = r#"
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
int main(int argc, char **argv) {
    void *kept = malloc(200001);
    for (int i = 0; i < 10; i++) malloc(200001);
    if (argc > 1) { execl(argv[0], argv[0], NULL); return 9; }
    if (fork() == 0) {
        free(kept);
        for (int i = 0; i < 7; i++) malloc(300001);
        _exit(0);
    }
    wait(NULL);
    for (int i = 0; i < 5; i++) malloc(200001);
    return 0;
}
"#;

#[test]
fn a_forked_childs_calls_are_not_its_parents() {
    let folder = TempDir::new().unwrap();
    let Some(program) = compiled(&folder, FORKS, &[]) else {
        return;
    };
    let file = folder.path().join("trace");
    let output = record(&file, &[], &program, &[]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let (events, _) = recorded(&file);
    assert_consistent(&events);
    assert_eq!(count(&events, 200_001..200_002), 16);
    assert_eq!(count(&events, 300_001..300_002), 0);
}

#[test]
fn with_children_each_process_and_program_has_a_recording() {
    let folder = TempDir::new().unwrap();
    let Some(program) = compiled(&folder, FORKS, &[]) else {
        return;
    };
    let file = folder.path().join("trace");
    let output = record(&file, &["--children"], &program, &["again"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let mut counts: Vec<_> = fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.file_name()
                .unwrap()
                .to_string_lossy()
                .starts_with("trace.")
        })
        .map(|path| {
            let (events, total) = recorded(&path);
            assert_consistent(&events);
            let counts = [200_001, 300_001].map(|size| count(&events, size..size + 1));
            (counts, total.unknown)
        })
        .collect();
    counts.sort_unstable();
    // The child frees one object that it has from its parent.
    assert_eq!(counts, [([0, 7], 1), ([11, 0], 0), ([16, 0], 0)]);
}

#[test]
fn a_program_that_replaces_itself_is_recorded_in_its_last_form() {
    let folder = TempDir::new().unwrap();
    let Some(program) = compiled(&folder, FORKS, &[]) else {
        return;
    };
    let file = folder.path().join("trace");
    let output = record(&file, &[], &program, &["again"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let (events, _) = recorded(&file);
    assert_eq!(count(&events, 200_001..200_002), 16);
}

#[test]
fn a_programs_output_and_exit_are_its_own() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("trace");
    let shell = Path::new("/bin/sh");
    let output = record(&file, &[], shell, &["-c", "echo out; echo err >&2; exit 3"]);
    assert_eq!(output.status.code(), Some(3));
    assert_eq!(text(&output.stdout), "out\n");
    let said = text(&output.stderr);
    assert!(said.starts_with("err\ngoheap: "), "{said}");
    let output = record(&file, &[], shell, &["-c", "kill -TERM $$"]);
    assert_eq!(output.status.signal(), Some(libc::SIGTERM));
}

#[test]
fn an_option_that_there_is_not_is_taken_for_no_program() {
    let folder = TempDir::new().unwrap();
    for command in ["record", "run"] {
        let mut wrong = goheap();
        wrong
            .current_dir(&folder)
            .args([command, "--quite", "true"]);
        let output = wrong.output().expect("it runs");
        let said = text(&output.stderr);
        assert!(said.contains("unexpected argument '--quite'"), "{said}");
        assert_eq!(output.status.code(), Some(2), "{said}");
        // What follows the program, or two hyphens, is not goheap's.
        let mut right = goheap();
        right.current_dir(&folder);
        right.args([command, "sh", "-c", "exit $#", "--quite", "--out", "--"]);
        let _one = RECORDS.read().unwrap_or_else(PoisonError::into_inner);
        assert_eq!(right.output().expect("it runs").status.code(), Some(2));
        let mut named = goheap();
        named.current_dir(&folder).args([command, "--", "--quite"]);
        assert_eq!(named.output().expect("it runs").status.code(), Some(127));
    }
}

#[test]
fn a_program_ends_as_it_does_also_where_nobody_hears_what_is_said() {
    let folder = TempDir::new().unwrap();
    let deaf = |command: &mut Command| {
        let full = fs::File::options().write(true).open("/dev/full").unwrap();
        command.stderr(full).status().unwrap().code()
    };
    let mut recorded = goheap();
    let file = folder.path().join("trace");
    recorded.arg("record").arg("-o").arg(file);
    recorded.args(["--", "sh", "-c", "exit 3"]);
    let _one = RECORDS.read().unwrap_or_else(PoisonError::into_inner);
    assert_eq!(deaf(&mut recorded), Some(3));
    assert_eq!(deaf(goheap().args(["stats", "4194305"])), Some(1));
}

#[test]
fn a_full_disk_ends_the_recording_and_not_the_program() {
    // The first shell's recording ends, and cannot be written, while the second runs.
    let second = |code: u8| format!("exec sh -c 'sleep 0.3; echo out; exit {code}'");
    for (code, passed_on) in [(0, 125), (3, 3)] {
        let arguments = ["-c", &second(code)];
        let full = Path::new("/dev/full");
        let output = record(full, &[], Path::new("/bin/sh"), &arguments);
        let said = text(&output.stderr);
        assert!(said.contains("cannot write /dev/full: No space"), "{said}");
        assert_eq!(output.status.code(), Some(passed_on), "{said}");
        assert_eq!(text(&output.stdout), "out\n");
    }
}

#[test]
fn what_cannot_be_recorded_is_said() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("trace");
    let cases = [
        (
            record(&file, &[], Path::new("/nowhere/program"), &[]),
            127,
            "goheap: /nowhere/program is not found\n".into(),
        ),
        (
            record(folder.path(), &[], Path::new("/bin/true"), &[]),
            125,
            format!(
                "goheap: cannot write {}: Is a directory (os error 21)\n",
                folder.path().display()
            ),
        ),
    ];
    for (output, code, expected) in cases {
        assert_eq!(text(&output.stderr), expected);
        assert_eq!(output.status.code(), Some(code));
    }
    let source = "int main(void) { return 0; }";
    fs::write(folder.path().join("s.c"), source).unwrap();
    let program = folder.path().join("static");
    let cc = Command::new("cc")
        .args(["-static", "-o"])
        .arg(&program)
        .arg(folder.path().join("s.c"))
        .output();
    if !cc.is_ok_and(|output| output.status.success()) {
        println!("skipped: no static program can be made");
        return;
    }
    let output = record(&file, &[], &program, &[]);
    assert_eq!(output.status.code(), Some(126));
    let said = text(&output.stderr);
    assert!(said.contains("is statically linked"), "{said}");
}

#[test]
fn what_a_killed_recording_left_in_memory_goes_with_the_next() {
    let folder = TempDir::new().unwrap();
    let mut command = goheap();
    command.arg("record").arg("-o").arg(folder.path().join("a"));
    let mut killed = command.args(["--", "sleep", "60"]).spawn().unwrap();
    let left = loop {
        let environment = |pid: u32| fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        let children = format!("/proc/{0}/task/{0}/children", killed.id());
        let children = fs::read_to_string(children).unwrap_or_default();
        let child = children.trim().parse().map_or(Vec::new(), environment);
        let mut variables = child.split(|&byte| byte == 0);
        let value = variables.find_map(|variable| variable.strip_prefix(b"GOHEAP_RECORD=main:"));
        if let Some(path) = value {
            break PathBuf::from(text(path));
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    };
    {
        let _none = RECORDS.write().unwrap_or_else(PoisonError::into_inner);
        killed.kill().unwrap();
        killed.wait().unwrap();
        assert!(left.exists(), "{}", left.display());
    }
    record(&folder.path().join("b"), &[], Path::new("/bin/true"), &[]);
    assert!(!left.exists(), "{}", left.display());
}
