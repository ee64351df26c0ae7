//! A C program on the library built with the feature `http` is served.

#[path = "../../preload/tests/support/mod.rs"]
mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

use support::{installed, preloaded, skip};

/// The part of the address behind `served at http://`, as the program's standard error says it; `None` if the library
/// has no server: all builds write the same file, and the last one was another than this test's.
fn address(program: &mut Child) -> Option<String> {
    let lines = BufReader::new(program.stderr.take().expect("its standard error is piped"));
    for line in lines.lines() {
        let line = line.expect("text");
        if let Some((_, address)) = line.split_once(" is served at http://") {
            return Some(address.trim_end_matches('/').to_owned());
        }
        if line.contains("has no effect") {
            return None;
        }
        assert!(!line.contains(" is not served"), "{line}");
    }
    panic!("it ended without a word");
}

#[track_caller]
fn asked(address: &str, what: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream
        .set_read_timeout(Some(Duration::from_secs(60)))
        .expect("a timeout");
    write!(stream, "{what} HTTP/1.1\r\nHost: {address}\r\n\r\n").expect("it takes a request");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("it answers");
    assert!(text.starts_with("HTTP/1.1 200 "), "{text}");
    text
}

#[test]
fn a_c_program_is_served() {
    let Some(python) = installed("python3") else {
        return;
    };
    // The system's own where there is one: others are often scripts that start it.
    let own = Path::new("/usr/bin/python3");
    let python = if own.is_file() { own } else { &python };
    let mut program = preloaded(python)
        .args([
            "-c",
            "import sys; kept = b'x' * (64 << 20); print(1, flush=True); sys.stdin.read()",
        ])
        .env("GOHEAP_HTTP", "127.0.0.1:0")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let Some(address) = address(&mut program) else {
        drop(program.stdin.take());
        program.wait().expect("it ends");
        return skip(
            "libgoheap.so was built last without the feature http; remove it to have it built anew",
        );
    };
    let mut stdout = program.stdout.take().expect("its output is piped");
    stdout.read_exact(&mut [0]).expect("it has what it keeps");
    let state = asked(&address, "GET /debug/state");
    assert!(
        state.contains(&format!("\"pid\":{}", program.id())),
        "{state}"
    );
    asked(&address, "POST /debug/gc");
    let metrics = asked(&address, "GET /metrics");
    let alloc = metrics
        .lines()
        .find_map(|line| line.strip_prefix("go_memstats_heap_alloc_bytes "));
    let alloc: f64 = alloc
        .and_then(|bytes| bytes.parse().ok())
        .expect("a number");
    assert!(alloc > f64::from(64 << 20), "{alloc}");
    let profile = asked(&address, "GET /debug/pprof/heap?debug=1");
    assert!(profile.contains("\r\n\r\nheap profile: "), "{profile}");
    drop(program.stdin.take());
    assert!(program.wait().expect("it ends").success());
}
