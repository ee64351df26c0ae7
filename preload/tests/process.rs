//! What a process goes through on the library: starts, threads, forks, limits, ends. Each part is one of
//! `c/process.c`, which holds on libc's own malloc, too.

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;

use support::child::{self, Outcome};
use support::{compiled, plain, preloaded, scratch, skip, wait};

fn program(for_test: &str) -> Option<PathBuf> {
    compiled("process.c", &format!("process-{for_test}"), &[])
}

/// Runs the program on both mallocs. A failure says which it was.
#[track_caller]
fn holds_on_both(program: &Path, configure: impl Fn(&mut Command)) {
    for (which, mut command) in [("without", plain(program)), ("with", preloaded(program))] {
        configure(&mut command);
        let outcome = wait(command);
        assert!(outcome.status.success(), "{which} the library: {outcome}");
    }
}

/// The same of the program in that C file, which ends with 77 where the system does not let it do what it is about.
#[track_caller]
fn holds_on_both_if_allowed(name: &str) {
    let Some(program) = compiled(&format!("{name}.c"), name, &[]) else {
        return;
    };
    let without = wait(plain(&program));
    if without.status.code() == Some(77) {
        return skip(without.stderr);
    }
    let with = wait(preloaded(&program));
    assert!(without.status.success(), "without the library: {without}");
    assert!(with.status.success(), "with the library: {with}");
}

/// Runs the part on both mallocs.
#[track_caller]
fn part_holds(name: &str) {
    let Some(program) = program(name) else { return };
    holds_on_both(&program, |command| {
        command.arg(name);
    });
}

#[test]
fn static_constructors_and_exit_handlers_allocate() {
    part_holds("constructors");
}

#[test]
fn threads_outlive_main() {
    part_holds("main_ends_first");
}

#[test]
fn a_process_ends_with_its_last_thread() {
    part_holds("the_last_thread_ends");
}

#[test]
fn a_process_with_two_heaps_ends_with_its_last_thread() {
    let part = "the_last_thread_ends_beside_another_heap";
    let Some(program) = program(part) else { return };
    let mut command = preloaded(&program);
    let library = command.get_envs().find(|(name, _)| *name == "LD_PRELOAD");
    let library = library.and_then(|(_, path)| path).expect("it is preloaded");
    // Another file is another library, with variables of its own.
    let copy = Path::new(env!("CARGO_TARGET_TMPDIR")).join("other-heap.so");
    std::fs::copy(library, &copy).expect("there is room for a copy");
    command.arg(part).env("OTHER_HEAP", &copy);
    wait(command).expect_success();
}

#[test]
fn main_ends_while_threads_allocate() {
    part_holds("main_ends_amid_threads");
}

#[test]
fn threads_free_while_they_end() {
    part_holds("thread_exit");
}

#[test]
fn a_busy_process_forks() {
    part_holds("forks");
}

#[test]
fn programs_are_started_by_exec_vfork_spawn_and_shell() {
    part_holds("spawns");
}

#[test]
fn a_child_of_vfork_allocates_in_its_parent_s_memory() {
    part_holds("vfork_child_allocates");
}

#[test]
fn a_process_without_any_descriptor_goes_on() {
    part_holds("no_descriptors");
}

#[test]
fn signals_are_the_program_s() {
    part_holds("signals");
}

#[test]
fn an_allocation_in_a_signal_handler_takes_little_stack() {
    let Some(program) = compiled("signal_stack.c", "signal-stack", &[]) else {
        return;
    };
    holds_on_both(&program, |_| {});
}

#[test]
fn functions_of_the_program_s_own_by_libc_s_names_are_not_called() {
    let Some(program) = compiled("own_names.c", "own-names", &["-fno-builtin"]) else {
        return;
    };
    holds_on_both(&program, |command| {
        command.env("GODEBUG", "gctrace=1");
    });
}

#[test]
fn all_memory_is_locked_and_what_is_never_used_takes_none() {
    holds_on_both_if_allowed("locked");
}

#[test]
fn a_process_of_one_thread_makes_and_enters_namespaces() {
    holds_on_both_if_allowed("namespaces");
}

#[test]
fn threads_start_where_thread_local_memory_is_large() {
    part_holds("much_thread_local_memory");
}

#[test]
fn libraries_come_and_go() {
    let library = compiled("library.c", "library.so", &["-shared", "-fPIC"]);
    let (Some(program), Some(library)) = (program("libraries"), library) else {
        return;
    };
    holds_on_both(&program, |command| {
        command.arg("libraries").arg(&library);
    });
}

#[test]
fn a_library_s_own_path_is_where_its_libraries_are_looked_for() {
    let inner = scratch("inner");
    std::fs::create_dir_all(&inner).expect("a folder can be made");
    let shared = ["-shared", "-fPIC", "-Wl,--enable-new-dtags"];
    if compiled("library.c", "inner/libinner.so", &shared).is_none() {
        return;
    }
    let flags = [&shared[..], &["-Wl,-rpath,$ORIGIN/inner"]].concat();
    let outer = compiled("opener.c", "libouter.so", &flags);
    let (Some(program), Some(outer)) = (program("opens_by"), outer) else {
        return;
    };
    holds_on_both(&program, |command| {
        command.arg("opens_by").arg(&outer).arg("libinner.so");
    });
}

#[test]
fn little_address_space_is_used_up_and_freed() {
    let Some(program) = program("limited") else {
        return;
    };
    holds_on_both(&program, |command| {
        command.arg("limited");
        child::limit(command, libc::RLIMIT_AS, 600 << 20);
    });
}

#[test]
fn a_process_limits_its_own_address_space() {
    part_holds("limits_itself");
}

#[test]
fn a_process_has_no_address_space_left_but_the_heap_s() {
    part_holds("leaves_nothing");
}

#[test]
fn a_process_limits_its_own_data() {
    part_holds("limits_its_data");
}

#[test]
fn a_clock_of_another_library_s_may_allocate() {
    let library = compiled("clock.c", "clock.so", &["-shared", "-fPIC"]);
    let (Some(program), Some(library)) = (program("clock"), library) else {
        return;
    };
    let mut command = preloaded(&program);
    let of = command.get_envs().find(|(name, _)| *name == "LD_PRELOAD");
    let mut both = of
        .and_then(|(_, path)| path)
        .expect("it is preloaded")
        .to_owned();
    both.push(":");
    both.push(&library);
    command.arg("churns").env("LD_PRELOAD", both);
    wait(command).expect_success();
}

/// A run of `churns`, with knobs set.
fn churns(knobs: &[(&str, &str)]) -> Option<Outcome> {
    let mut command = preloaded(program("churns")?);
    command.arg("churns").envs(knobs.iter().copied());
    Some(wait(command).expect_success())
}

#[test]
fn the_environment_is_read_before_main() {
    let knobs = [("GODEBUG", "gctrace=1"), ("GOGC", "20")];
    let Some(outcome) = churns(&knobs) else {
        return;
    };
    assert!(outcome.stderr.contains("gc 1 @"), "{outcome}");
}

#[test]
fn nothing_is_said_unasked() {
    let Some(outcome) = churns(&[]) else { return };
    assert!(
        outcome.stderr.is_empty() && outcome.stdout.is_empty(),
        "{outcome}"
    );
}
