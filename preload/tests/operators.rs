//! C++'s new and delete on the library, in programs that have them from libstdc++, from another
//! malloc, or of their own.

mod support;

use std::path::PathBuf;
use std::process::Command;

use support::{compiled, compiled_by, installed, plain, preloaded, skip, wait};

const STANDARD: &str = "-std=c++17";

/// Runs it with and without the library. Fails unless it does the same.
#[track_caller]
fn same_on_both(program: &PathBuf) {
    let without = wait(plain(program)).expect_success();
    let with = wait(preloaded(program)).expect_success();
    assert!(
        with.stdout == without.stdout && !with.stdout.is_empty(),
        "with: {with}\nwithout: {without}"
    );
    assert_eq!(with.stderr, without.stderr);
}

#[test]
fn each_form_fails_and_succeeds_as_libstdcxx_s_does() {
    if let Some(program) = compiled_by("c++", "operators.cpp", "operators", &[STANDARD]) {
        same_on_both(&program);
    }
}

#[test]
fn and_as_libcxx_s_does() {
    if installed("clang++").is_none() || !has_library("clang++", "libc++.so") {
        return;
    }
    let flags = [STANDARD, "-stdlib=libc++", "-fsized-deallocation"];
    if let Some(program) = compiled_by("clang++", "operators.cpp", "operators-libc++", &flags) {
        same_on_both(&program);
    }
}

#[test]
fn a_program_s_own_are_used_by_the_forms_that_it_leaves_out() {
    if let Some(program) = compiled_by("c++", "replaced.cpp", "replaced", &[STANDARD]) {
        wait(plain(&program)).expect_success();
        wait(preloaded(&program)).expect_success();
    }
}

#[test]
fn where_nobody_could_throw_the_process_ends_and_says_why() {
    let Some(program) = compiled("process.c", "process-new", &[]) else {
        return;
    };
    let mut command = preloaded(&program);
    command.arg("new_without_a_library");
    let outcome = wait(command).expect_signal(libc::SIGABRT);
    assert_eq!(outcome.stdout, "so far\n", "{outcome}");
    assert!(
        outcome.stderr.contains("operator new: out of memory"),
        "{outcome}"
    );
}

/// Whether the compiler would find a library.
fn has_library(compiler: &str, file: &str) -> bool {
    let asked = Command::new(compiler)
        .arg(format!("-print-file-name={file}"))
        .output();
    let has = asked.is_ok_and(|output| output.stdout.contains(&b'/'));
    if !has {
        skip(format_args!("{compiler} has no {file}"));
    }
    has
}

/// The library serves a program that is linked with another malloc, its operators and all.
#[track_caller]
fn serves_a_program_linked_with(malloc: &str) {
    if !has_library("c++", malloc) {
        return;
    }
    let link = format!("-l:{malloc}");
    let flags = [STANDARD, "-Wl,--no-as-needed", &link];
    let name = format!("operators-{malloc}");
    let Some(program) = compiled_by("c++", "operators.cpp", &name, &flags) else {
        return;
    };
    let mut command = preloaded(&program);
    command.arg("mixed").env("GODEBUG", "gctrace=1");
    let outcome = wait(command).expect_success();
    assert!(outcome.stderr.contains("gc 1 @"), "{outcome}");
}

#[test]
fn jemalloc_s_are_not_used() {
    serves_a_program_linked_with("libjemalloc.so.2");
}

#[test]
fn tcmalloc_s_are_not_used() {
    serves_a_program_linked_with("libtcmalloc_minimal.so.4");
}

#[test]
fn mimalloc_s_are_not_used() {
    serves_a_program_linked_with("libmimalloc.so.2");
}
