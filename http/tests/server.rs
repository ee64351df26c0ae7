//! The server answers what it is asked, refuses what it must, and lets nobody wait for a client that is slow.

mod support;

use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::time::{Duration, Instant};

use serde_json::Value;
use support::{asked, connected, reply, sent, served, stats};

#[test]
fn knobs_are_turned_by_post_alone() {
    let (address, made) = served();
    for path in ["/debug/gc", "/debug/free", "/debug/set?gogc=50"] {
        let reply = asked(address, &format!("GET {path}"), "");
        assert_eq!(
            (reply.status, reply.header("Allow")),
            (405, "POST"),
            "{path}"
        );
    }
    assert!(made.done().is_empty());
    assert_eq!(asked(address, "POST /debug/gc", "").status, 200);
    assert_eq!(asked(address, "POST /debug/free", "").status, 200);
    let reply = asked(address, "POST /debug/set?gogc=50&memlimit=1GiB", "");
    assert_eq!(
        (reply.status, reply.body.as_str()),
        (200, "GOGC=50 GOMEMLIMIT=1GiB\n")
    );
    assert_eq!(made.done(), ["gc", "free", "GOGC=50", "GOMEMLIMIT=1GiB"]);
    for path in ["/metrics", "/debug/pprof", "/debug/pprof/heap"] {
        let reply = asked(address, &format!("POST {path}"), "");
        assert_eq!(
            (reply.status, reply.header("Allow")),
            (405, "GET, HEAD"),
            "{path}"
        );
    }
}

#[test]
fn a_setting_that_is_not_understood_sets_nothing() {
    let (address, made) = served();
    let reply = asked(address, "POST /debug/set?gogc=50&memlimit=bad", "");
    assert_eq!(reply.status, 400);
    assert!(
        reply.body.contains("GOMEMLIMIT=bad") && reply.body.contains("something else"),
        "{reply:?}"
    );
    for query in ["", "?", "?gogc", "?gc=50", "?gogc=50&policy=go1.4"] {
        let reply = asked(address, &format!("POST /debug/set{query}"), "");
        let sets_nothing = reply.status == 400 || query == "?gogc";
        assert!(sets_nothing, "{query}: {reply:?}");
    }
    assert!(
        made.done().iter().all(|done| done == "GOGC="),
        "{:?}",
        made.done()
    );
}

#[test]
fn another_sites_page_turns_no_knob_and_reads_nothing() {
    let (address, made) = served();
    let reply = asked(
        address,
        "POST /debug/gc",
        "Origin: http://attacker.example\r\n",
    );
    assert_eq!(reply.status, 403);
    let reply = sent(
        address,
        b"GET /debug/vars HTTP/1.1\r\nHost: attacker.example:6060\r\n\r\n",
    );
    assert_eq!(reply.status, 403);
    assert!(reply.body.contains("attacker.example"), "{reply:?}");
    assert!(made.done().is_empty());
}

#[test]
fn head_is_answered_without_a_body() {
    let (address, _) = served();
    let whole = asked(address, "GET /debug/vars", "");
    let head = asked(address, "HEAD /debug/vars", "");
    assert_eq!((head.status, head.body.as_str()), (200, ""));
    assert_eq!(
        head.header("Content-Length"),
        whole.header("Content-Length")
    );
    assert_eq!(whole.header("Content-Length"), whole.body.len().to_string());
}

#[test]
fn vars_are_those_of_expvar() {
    let (address, _) = served();
    let reply = asked(address, "GET /debug/vars", "");
    let vars: Value = serde_json::from_str(&reply.body).expect("JSON");
    let arguments: Vec<String> = std::env::args().collect();
    assert_eq!(vars["cmdline"], serde_json::json!(arguments));
    assert_eq!(vars["memstats"], serde_json::to_value(stats()).unwrap());
    assert_eq!(
        vars["memstats"]["BySize"].as_array().map(Vec::len),
        Some(61)
    );
}

#[test]
fn the_state_has_the_cycles_since_the_last_look() {
    let (address, _) = served();
    let numbers = |query: &str| -> Vec<u64> {
        let reply = asked(address, &format!("GET /debug/state{query}"), "");
        let state: Value = serde_json::from_str(&reply.body).expect("JSON");
        assert_eq!(
            (state["gogc"].as_i64(), &state["memory_limit"]),
            (Some(100), &Value::Null)
        );
        let latest = state["latest"].as_array().expect("a list");
        latest
            .iter()
            .filter_map(|cycle| cycle["number"].as_u64())
            .collect()
    };
    assert_eq!(numbers(""), [1, 2, 3]);
    assert_eq!(numbers("?since=2"), [3]);
    assert!(numbers("?since=3").is_empty());
}

#[test]
fn the_map_has_the_heap_in_cells() {
    let (address, _) = served();
    let reply = asked(address, "GET /debug/map", "");
    let map: Value = serde_json::from_str(&reply.body).expect("JSON");
    assert_eq!(
        (&map["cell"], &map["regions"][0]["address"]),
        (&8192.into(), &"0x100000000".into())
    );
    let cells = map["regions"][0]["cells"].as_array().expect("a list");
    // Which kind each cell is all of.
    let whole = |cell: &Value| cell.as_array()?.iter().position(|bytes| bytes == 8192);
    let kinds: Vec<_> = cells.iter().map(whole).collect();
    assert_eq!(kinds, [0, 0, 3, 0, 0, 4, 4, 4].map(Some));
}

#[test]
fn the_page_asks_nothing_of_anybody_else() {
    let (address, _) = served();
    let page = asked(address, "GET /", "");
    assert_eq!(
        (page.status, page.header("Content-Type")),
        (200, "text/html; charset=utf-8")
    );
    let policy = page.header("Content-Security-Policy");
    assert!(
        policy.contains("default-src 'none'") && policy.contains("connect-src 'self'"),
        "{policy}"
    );
    for outside in ["src=\"http", "href=\"http", "@import", "url(http"] {
        assert!(!page.body.contains(outside), "{outside}");
    }
}

#[test]
fn what_is_not_here_is_not_found() {
    let (address, _) = served();
    for path in [
        "/favicon.ico",
        "/debug",
        "/debug/vars/",
        "//",
        "/metrics%00",
        "/../etc/passwd",
    ] {
        assert_eq!(
            asked(address, &format!("GET {path}"), "").status,
            404,
            "{path}"
        );
    }
    let told = asked(address, "GET /debug", "").body;
    assert!(
        told.contains("/debug/pprof/heap") && told.contains("by POST /debug/gc"),
        "{told}"
    );
    assert_eq!(asked(address, "TRACE /", "").status, 405);
}

#[test]
fn a_head_that_is_too_long_is_refused() {
    let (address, _) = served();
    let long = format!("X: {}\r\n", "x".repeat(7_000));
    assert_eq!(asked(address, "GET /debug/vars", &long).status, 200);
    let longer = format!("X: {}\r\n", "x".repeat(9_000));
    assert_eq!(asked(address, "GET /debug/vars", &longer).status, 431);
    // Without an end, too.
    assert_eq!(sent(address, &[b'x'; 9_000]).status, 431);
    assert_eq!(
        sent(
            address,
            format!("GET /{} HTTP/1.1\r\n", "x".repeat(9_000)).as_bytes()
        )
        .status,
        431
    );
}

#[test]
fn what_comes_behind_a_request_does_not_lose_the_answer() {
    let (address, made) = served();
    let body = "x".repeat(100_000);
    let reply = asked(
        address,
        "POST /debug/gc",
        &format!("Content-Length: {}\r\n\r\n{body}", body.len()),
    );
    assert_eq!((reply.status, made.done().len()), (200, 1));
}

#[test]
fn clients_that_say_nothing_keep_nobody_out() {
    let (address, _) = served();
    // Far more than there may be; each has begun a request, and holds on to its connection.
    let mut silent: Vec<_> = (0..200).map(|_| connected(address)).collect();
    for stream in &mut silent {
        // One that was left already says so.
        let _ = stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: loc");
    }
    assert_eq!(asked(address, "GET /metrics", "").status, 200);
    // And not because they had been given up: others are still waited for.
    let waited_for = silent.iter().filter(|stream| {
        stream
            .set_nonblocking(true)
            .expect("it can be asked without waiting");
        stream
            .peek(&mut [0])
            .is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
    });
    assert!(waited_for.count() > 0);
    drop(silent);
}

#[test]
fn clients_that_read_nothing_hold_nobody_up() {
    let (address, _) = served();
    let mut stalled: Vec<_> = (0..8).map(|_| connected(address)).collect();
    for stream in &mut stalled {
        let request = format!("GET /debug/vars HTTP/1.1\r\nHost: {address}\r\n\r\n");
        stream
            .write_all(request.as_bytes())
            .expect("it takes a request");
    }
    assert_eq!(asked(address, "GET /debug/vars", "").status, 200);
    // And they are answered when they read at last.
    for stream in &mut stalled {
        assert_eq!(reply(stream).status, 200);
    }
}

#[test]
fn profiles_whose_names_take_long_hold_nobody_up() {
    let (address, made) = served();
    let held = made.names.lock().unwrap();
    let mut profiles: Vec<_> = (0..3).map(|_| connected(address)).collect();
    for stream in &mut profiles {
        let request = format!("GET /debug/pprof/heap HTTP/1.1\r\nHost: {address}\r\n\r\n");
        stream
            .write_all(request.as_bytes())
            .expect("it takes a request");
    }
    for _ in 0..3 {
        assert_eq!(asked(address, "GET /debug/vars", "").status, 200);
    }
    // One that goes away meanwhile is no trouble, and the others are answered at last.
    drop(profiles.pop());
    drop(held);
    for stream in &mut profiles {
        let reply = reply(stream);
        assert_eq!(reply.status, 200);
        assert_eq!(reply.header("Content-Type"), "application/octet-stream");
    }
}

/// Each that is being made is a thread, which goes on though its client is gone.
#[test]
fn profiles_that_nobody_waits_for_are_few() {
    let (address, made) = served();
    let threads = || {
        let tasks = std::fs::read_dir("/proc/self/task").expect("there is a /proc");
        tasks
            .filter(|task| {
                let task = task.as_ref().expect("a task").path().join("comm");
                std::fs::read_to_string(task).is_ok_and(|name| name.trim() == "goheap-answer")
            })
            .count()
    };
    let held = made.names.lock().unwrap();
    let request = format!("GET /debug/pprof/heap HTTP/1.1\r\nHost: {address}\r\n\r\n");
    let mut waiting = Vec::new();
    for n in 0..100 {
        let mut stream = connected(address);
        stream
            .write_all(request.as_bytes())
            .expect("it takes a request");
        // Half of them go at once.
        waiting.extend((n % 2 == 0).then_some(stream));
        assert_eq!(asked(address, "GET /debug/vars", "").status, 200, "{n}");
    }
    // Other tests of this process have some, too.
    assert!(threads() <= 16, "{}", threads());
    assert_eq!(asked(address, "GET /debug/pprof/heap", "").status, 503);
    drop(waiting);
    drop(held);
    let begun = Instant::now();
    while asked(address, "GET /debug/pprof/heap", "").status != 200 {
        assert!(begun.elapsed() < Duration::from_secs(60), "it recovers");
    }
}

#[test]
fn a_client_that_dribbles_is_left_after_a_while() {
    let (address, _) = served();
    let mut slow = connected(address);
    let begun = Instant::now();
    let mut left = false;
    while !left && begun.elapsed() < Duration::from_secs(60) {
        left = slow.write_all(b"x").is_err();
        std::thread::sleep(Duration::from_millis(100));
    }
    assert!(left, "it still waits for the rest");
}

#[test]
fn broken_clients_are_survived() {
    let (address, _) = served();
    for bytes in [
        &b""[..],
        b"GET",
        b"\x16\x03\x01\x02\x00\x01\xff\xff",
        b"\r\n\r\n",
        b"GET / HTTP/1.1\r\n: \r\n\r\n",
    ] {
        let mut stream = connected(address);
        stream.write_all(bytes).expect("it takes bytes");
        stream
            .shutdown(Shutdown::Write)
            .expect("it can be shut down");
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).expect("it ends");
    }
    for _ in 0..100 {
        // Closed over an answer that nobody reads: the client's end resets the connection.
        let mut stream = connected(address);
        let request = format!("GET /debug/vars HTTP/1.1\r\nHost: {address}\r\n\r\n");
        stream
            .write_all(request.as_bytes())
            .expect("it takes a request");
    }
    assert_eq!(asked(address, "GET /debug/vars", "").status, 200);
}
