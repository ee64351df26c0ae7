//! The library is found as the program was built, and programs run on it.

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

#[test]
fn a_library_that_is_not_there_is_named() {
    let found = Command::new(std::env::current_exe().expect("the path of this test"))
        .args([
            "--exact",
            "child_looks_for_the_library",
            "--nocapture",
            "--ignored",
        ])
        .env(preload::VARIABLE, "/nowhere/libgoheap.so")
        .output()
        .expect("this test starts");
    let said = support::text(&found.stdout);
    assert!(
        said.contains(
            "cannot find libgoheap.so; looked for /nowhere/libgoheap.so; GOHEAP_LIBRARY may name it"
        ),
        "{said}"
    );
}

#[test]
#[ignore = "a part of the test above, in a process of its own"]
fn child_looks_for_the_library() {
    match preload::library() {
        Ok(path) => println!("found {}", path.display()),
        Err(error) => println!("{error}"),
    }
}
