//! What bears no malloc but its own is refused before it starts, with the reason.

mod support;

use std::path::Path;
use std::process::{Command, Output};

use support::{goheap, text};
use tempfile::TempDir;

fn folder() -> TempDir {
    tempfile::tempdir().expect("a temporary folder can be made")
}

/// A C program or library of that source; `None`, with the reason printed, if it cannot be made here.
fn compiled(folder: &Path, name: &str, source: &str, flags: &[&str]) -> Option<String> {
    let (from, to) = (folder.join("source.c"), folder.join(name));
    std::fs::write(&from, source).expect("a file can be written");
    let mut compiler = Command::new("cc");
    compiler.args(flags).arg("-o").args([&to, &from]);
    let made = compiler.output();
    if !made.is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: there is no C compiler (cc), or none for {flags:?}");
        return None;
    }
    Some(to.to_str().expect("text").to_owned())
}

/// `goheap run` of a program, with `preloaded` in `LD_PRELOAD`.
fn run(folder: &Path, program: &str, preloaded: &str) -> Output {
    let mut run = goheap();
    run.args(["run", "--out"]).arg(folder.join("out"));
    run.args(["--", program]).env("LD_PRELOAD", preloaded);
    run.output().expect("it runs")
}

#[track_caller]
fn refusal(output: &Output) -> String {
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(126), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    said
}

#[test]
fn a_program_with_a_sanitizer_is_refused() {
    let folder = folder();
    for flags in [
        &["-fsanitize=address"][..],
        &["-fsanitize=address", "-static-libasan"],
        &["-fsanitize=thread"],
    ] {
        let source = "int main(void) { return 0; }\n";
        if let Some(program) = compiled(folder.path(), "sanitized", source, flags) {
            let said = refusal(&run(folder.path(), &program, ""));
            let reason = format!("{program} is built with {}, ", flags[0]);
            assert!(said.contains(&reason), "{said}");
        }
    }
}

#[test]
fn a_program_that_asks_whether_there_is_a_sanitizer_is_not() {
    let folder = folder();
    let source = "void __asan_init(void) __attribute__((weak));
        int main(void) { return __asan_init != 0; }\n";
    if let Some(program) = compiled(folder.path(), "asks", source, &["-fPIE"]) {
        let output = run(folder.path(), &program, "");
        assert!(output.status.success(), "{}", text(&output.stderr));
    }
}

#[test]
fn another_malloc_that_is_preloaded_is_refused_and_another_library_is_not() {
    let folder = folder();
    let flags = ["-shared", "-fPIC"];
    let malloc = "void *__libc_malloc(unsigned long);
        void *malloc(unsigned long bytes) { return __libc_malloc(bytes); }\n";
    let (Some(malloc), Some(other)) = (
        compiled(folder.path(), "libmine.so", malloc, &flags),
        compiled(folder.path(), "libother.so", "int other;\n", &flags),
    ) else {
        return;
    };
    let output = run(folder.path(), "true", &other);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let said = refusal(&run(folder.path(), "true", &format!("{other} {malloc}")));
    let reason = format!("would have {malloc} preloaded, too, which is another malloc");
    assert!(said.contains(&reason), "{said}");
}

#[test]
fn a_library_of_goheap_s_own_that_is_preloaded_already_is_none_of_these() {
    let library = goheap_cli::preload::library().expect("cargo built it");
    let library = library.to_str().expect("text");
    let output = run(folder().path(), "true", library);
    assert!(output.status.success(), "{}", text(&output.stderr));
}
