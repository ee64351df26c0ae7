//! The library is found as the program was built, and programs run on it.

use std::path::Path;
use std::process::Command;

use goheap_cli::preload;

#[path = "support/mod.rs"]
mod support;

#[test]
fn a_program_runs_on_the_library_that_was_built_with_this_test() {
    let library = preload::library().expect("cargo built it");
    let built = std::env::current_exe().expect("the path of this test");
    assert_eq!(library.parent(), built.parent());
    let output = preload::command("cat", ["/proc/self/maps"])
        .and_then(|mut command| {
            command
                .output()
                .map_err(goheap_cli::Error::system("run cat"))
        })
        .expect("cat runs");
    let maps = support::text(&output.stdout);
    assert!(output.status.success(), "{}", output.status);
    assert!(maps.contains(&*library.to_string_lossy()), "{maps}");
    assert!(
        maps.contains("c000000000-"),
        "no heap at Go's place: {maps}"
    );
}

#[test]
fn the_program_itself_has_no_malloc() {
    let Ok(output) = Command::new("nm")
        .arg("--defined-only")
        .arg(env!("CARGO_BIN_EXE_goheap"))
        .output()
    else {
        eprintln!("skipped: there is no nm to look into the program with");
        return;
    };
    let symbols = support::text(&output.stdout);
    let defined = |name: &str| {
        symbols
            .lines()
            .any(|line| line.ends_with(&format!(" {name}")))
    };
    assert!(defined("main"), "not the symbols of a program");
    assert!(
        !defined("malloc") && !defined("free"),
        "libc's malloc is to stay"
    );
}

/// What the program says of a library that it cannot use; the recording one is found in the same way.
#[track_caller]
fn refused(library: &Path) -> String {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let mut record = support::goheap();
    record.args(["record", "--", "true"]).current_dir(&folder);
    record.env("GOHEAP_RECORD_LIBRARY", library);
    let output = record.output().expect("the program starts");
    let said = support::text(&output.stderr);
    assert_eq!(output.status.code(), Some(125), "{said}");
    said
}

#[test]
fn a_library_that_is_not_there_is_named() {
    let said = refused(Path::new("/nowhere/lib.so"));
    let wanted = "cannot find libgoheap_record.so; looked for /nowhere/lib.so; GOHEAP_RECORD_LIBRARY may name it";
    assert!(said.contains(wanted), "{said}");
}

#[test]
fn a_library_whose_path_the_loader_would_cut_is_refused() {
    let library = preload::library().expect("cargo built it");
    let folder = tempfile::Builder::new()
        .prefix("with space")
        .tempdir()
        .expect("a folder can be made");
    let copy = folder.path().join("libgoheap.so");
    std::fs::copy(library, &copy).expect("a file can be copied");
    let said = refused(&copy);
    assert!(
        said.contains(&*copy.to_string_lossy()) && said.contains("space or a colon"),
        "{said}"
    );
}
