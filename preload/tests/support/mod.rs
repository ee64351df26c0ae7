//! Programs, started on libc's own malloc and on the library.
#![allow(dead_code, reason = "each test binary uses its part of this")]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

#[path = "../../../tests/support/child.rs"]
pub mod child;

#[allow(unused_imports, reason = "each test binary uses its part of this")]
pub use child::wait;

/// A test that cannot be made here says why.
pub fn skip(why: impl std::fmt::Display) {
    eprintln!("skipped: {why}");
}

/// The program's path; `None`, with the reason printed, if it is not installed.
pub fn installed(program: &str) -> Option<PathBuf> {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&folders)
        .map(|folder| folder.join(program))
        .find(|path| path.is_file());
    if found.is_none() {
        skip(format_args!("{program} is not installed"));
    }
    found
}

/// Whether the long tests run at full length.
pub fn full_length() -> bool {
    std::env::var_os("GOHEAP_TEST_EFFORT").is_some()
}

/// A file or folder of one test.
pub fn scratch(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(name)
}

/// Compiles a C file of this folder; `None`, with the reason printed, if there is no compiler.
pub fn compiled(source: &str, program: &str, flags: &[&str]) -> Option<PathBuf> {
    compiled_by("cc", source, program, flags)
}

/// The same by another compiler.
pub fn compiled_by(compiler: &str, source: &str, program: &str, flags: &[&str]) -> Option<PathBuf> {
    let to = scratch(program);
    let from = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/c")
        .join(source);
    let mut cc = Command::new(compiler);
    cc.args(["-O1", "-g", "-w", "-pthread"])
        .args(flags)
        .arg("-o")
        .arg(&to)
        .arg(from);
    match cc.output() {
        Err(error) => {
            skip(format_args!("no compiler: {compiler}: {error}"));
            None
        }
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{source} does not compile: {said}");
            Some(to)
        }
    }
}

/// A program on libc's own malloc.
pub fn plain(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new(program);
    prepare(&mut command);
    command
}

/// A program on the library.
pub fn preloaded(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command =
        goheap_cli::preload::command(program, [""; 0]).expect("cargo built the library");
    prepare(&mut command);
    command
}

fn prepare(command: &mut Command) {
    child::without_knobs(command);
    child::without_core(command);
    command.stdin(Stdio::null());
}
