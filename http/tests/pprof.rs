//! Heap profiles are served as Go serves them; one over some seconds holds nobody up.

mod support;

use std::io::{ErrorKind, Read, Write};
use std::time::{Duration, Instant};

use support::{Reply, asked, connected, reply, served};

const GZIP: [u8; 2] = [0x1f, 0x8b];

/// What is in a profile, uncompressed: the names stand there as they are.
fn inside(reply: &Reply) -> String {
    assert_eq!(
        (reply.status, &reply.bytes[..2]),
        (200, &GZIP[..]),
        "{}",
        reply.head
    );
    let mut text = Vec::new();
    let mut gzip = flate2::read::GzDecoder::new(&reply.bytes[..]);
    gzip.read_to_end(&mut text).expect("it is gzip");
    String::from_utf8_lossy(&text).into_owned()
}

#[test]
fn a_profile_is_a_file_for_pprof() {
    let (address, made) = served();
    let heap = asked(address, "GET /debug/pprof/heap", "");
    assert_eq!(heap.header("Content-Type"), "application/octet-stream");
    assert_eq!(
        heap.header("Content-Disposition"),
        "attachment; filename=\"heap\""
    );
    assert!(inside(&heap).contains("inuse_space"));
    let allocs = asked(address, "GET /debug/pprof/allocs", "");
    assert!(inside(&allocs).contains("alloc_space"));
    assert_ne!(heap.bytes, allocs.bytes, "they show different things first");
    assert!(made.done().is_empty());
    assert_eq!(asked(address, "GET /debug/pprof/heap?gc=1", "").status, 200);
    assert_eq!(made.done(), ["gc"]);
    assert_eq!(asked(address, "GET /debug/pprof/heap?gc=0", "").status, 200);
    assert_eq!(made.done(), ["gc"]);
}

#[test]
fn debug_is_text_to_read() {
    let (address, _) = served();
    let reply = asked(address, "GET /debug/pprof/heap?debug=1", "");
    assert_eq!(reply.header("Content-Type"), "text/plain; charset=utf-8");
    assert!(
        reply
            .body
            .starts_with("heap profile: 3: 3145728 [3: 3145729] @ heap/1048576\n"),
        "{}",
        reply.body
    );
    assert!(
        reply.body.contains("# HeapAlloc = 3000\n"),
        "{}",
        reply.body
    );
    let last = reply
        .body
        .lines()
        .last()
        .and_then(|line| line.strip_prefix("# MaxRSS = "));
    let most: u64 = last
        .and_then(|bytes| bytes.parse().ok())
        .expect("the resident set at its largest");
    assert!(most > 1 << 20, "{most} bytes");
}

#[test]
fn a_profile_over_some_seconds_has_what_came_meanwhile_and_holds_nobody_up() {
    let (address, _) = served();
    // On a busy machine the answers to others may take longer than it lasts.
    let (mut waiting, begun, seconds) = [2, 10, 50]
        .into_iter()
        .find_map(|seconds| {
            let mut waiting = connected(address);
            let begun = Instant::now();
            let path = format!("/debug/pprof/allocs?seconds={seconds}");
            let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n");
            waiting
                .write_all(request.as_bytes())
                .expect("it takes a request");
            for _ in 0..10 {
                assert_eq!(asked(address, "GET /metrics", "").status, 200);
            }
            let in_time = begun.elapsed() < Duration::from_secs(seconds) / 2;
            in_time.then_some((waiting, begun, seconds))
        })
        .expect("the others are answered meanwhile");
    waiting
        .set_nonblocking(true)
        .expect("it can be asked without waiting");
    let nothing_yet = waiting.peek(&mut [0]).expect_err("it is not answered yet");
    assert_eq!(nothing_yet.kind(), ErrorKind::WouldBlock);
    waiting
        .set_nonblocking(false)
        .expect("it can be waited for");
    let delta = reply(&mut waiting);
    assert!(begun.elapsed() >= Duration::from_secs(seconds));
    assert_eq!(
        delta.header("Content-Disposition"),
        "attachment; filename=\"allocs-delta\""
    );
    assert!(inside(&delta).contains("alloc_space"));
}

#[test]
fn profiles_over_some_seconds_are_few() {
    let (address, _) = served();
    let request = format!("GET /debug/pprof/heap?seconds=60 HTTP/1.1\r\nHost: {address}\r\n\r\n");
    let begin = || {
        let mut stream = connected(address);
        stream
            .write_all(request.as_bytes())
            .expect("it takes a request");
        stream
    };
    let waiting: Vec<_> = (0..4).map(|_| begin()).collect();
    let refused = asked(address, "GET /debug/pprof/heap?seconds=60", "");
    assert_eq!(refused.status, 503, "{}", refused.body);
    // Who goes away makes room.
    drop(waiting);
    let mut stream = begin();
    stream
        .set_read_timeout(Some(Duration::from_millis(300)))
        .expect("a timeout");
    assert!(stream.read(&mut [0]).is_err(), "it is under way");
}

#[test]
fn what_cannot_be_is_refused_by_name() {
    let (address, _) = served();
    for (query, status) in [
        ("heap?seconds=0", 400),
        ("heap?seconds=-1", 400),
        ("heap?seconds=1.5", 400),
        ("heap?seconds=99999999999999999999", 400),
        ("heap?seconds=86401", 400),
        ("heap?seconds=1&debug=1", 400),
        ("goroutine", 404),
        ("profile?seconds=1", 404),
        ("heap/", 404),
    ] {
        let reply = asked(address, &format!("GET /debug/pprof/{query}"), "");
        assert_eq!(reply.status, status, "{query}: {}", reply.body);
    }
}

#[test]
fn who_asks_for_more_names_is_told_that_there_are_none() {
    let (address, _) = served();
    for what in ["GET /debug/pprof/symbol", "POST /debug/pprof/symbol"] {
        let reply = asked(address, what, "Content-Length: 6\r\n\r\n0x1001");
        assert_eq!(
            (reply.status, reply.body.as_str()),
            (200, "num_symbols: 0\n"),
            "{what}"
        );
    }
}

#[test]
fn the_index_has_what_there_is() {
    let (address, _) = served();
    let moved = asked(address, "GET /debug/pprof", "");
    assert_eq!(
        (moved.status, moved.header("Location")),
        (301, "/debug/pprof/")
    );
    let index = asked(address, "GET /debug/pprof/", "");
    for name in ["heap", "allocs", "cmdline"] {
        assert!(index.body.contains(&format!(">{name}</a>")), "{name}");
    }
    let arguments: Vec<String> = std::env::args().collect();
    let command_line = asked(address, "GET /debug/pprof/cmdline", "");
    assert_eq!(command_line.body.trim_end(), arguments.join("\0"));
}
