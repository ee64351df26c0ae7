//! `goheap profile PID`: a running program's heap profile, in a file.

#[path = "support/observed.rs"]
mod observed;
mod support;

use std::process::Command;

use observed::{Observed, tool};
use support::text;

#[test]
fn a_running_programs_profile_is_written_where_it_is_to_go() {
    let folder = tempfile::tempdir().expect("a folder");
    let Some(mut program) = Observed::start() else {
        return;
    };
    program.tell("alloc 0 50000 1024");
    let pid = program.pid().to_string();
    let path = folder.path().join("heap.pb.gz");
    for more in [["--gc"], ["--peak"]] {
        let path = path.to_str().expect("text");
        let output = tool(&[&["profile", &pid, "-o", path], &more[..]].concat());
        assert!(output.status.success(), "{}", text(&output.stderr));
        assert!(text(&output.stdout).contains("go tool pprof -top"));
        let bytes = std::fs::read(path).expect("it was written");
        assert_eq!(bytes[..2], [0x1f, 0x8b], "gzip");
        assert!(bytes.len() > 200);
        std::fs::remove_file(path).expect("it is there");
    }
}

#[test]
fn a_program_that_samples_nothing_has_no_profile() {
    let configure = |command: &mut Command| {
        command.env("GOHEAP_PROFILE_RATE", "0");
    };
    let Some(program) = Observed::start_with(configure) else {
        return;
    };
    let output = tool(&["profile", &program.pid().to_string()]);
    assert!(!output.status.success());
    assert!(text(&output.stderr).contains("GOHEAP_PROFILE_RATE=0"));
}
