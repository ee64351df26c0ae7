//! A program with `GOHEAP_HTTP` is served, is disturbed by that in nothing, and its forks go their own way.

use std::hint::black_box;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

#[path = "../../tests/support/child.rs"]
mod child;
#[path = "../../tests/support/pprof.rs"]
mod pprof;

#[global_allocator]
static HEAP: goheap::GoHeap = goheap::GoHeap::new();

/// A server that does not come is a failure, not a hang of the whole run.
const PATIENCE: Duration = Duration::from_secs(60);

/// A port that nobody had a moment ago.
fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    listener.local_addr().expect("it has an address").port()
}

fn at(port: u16) -> impl FnOnce(&mut Command) {
    move |command| {
        command.env("GOHEAP_HTTP", format!("127.0.0.1:{port}"));
    }
}

/// The port that this process was told to serve at.
fn own_port() -> u16 {
    let text = std::env::var("GOHEAP_HTTP").expect("the parent sets it");
    let port = text.rsplit(':').next().and_then(|port| port.parse().ok());
    port.expect("it ends in a port")
}

/// What is there; `None` if nobody answers.
fn ask(port: u16, what: &str) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    write!(stream, "{what} HTTP/1.1\r\nHost: localhost\r\n\r\n").ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    assert!(head.starts_with("HTTP/1.1 200 "), "{text}");
    Some(body.to_owned())
}

/// The same, as soon as somebody answers.
#[track_caller]
fn asked(port: u16, what: &str) -> String {
    let begun = Instant::now();
    loop {
        if let Some(body) = ask(port, what) {
            return body;
        }
        assert!(
            begun.elapsed() < PATIENCE,
            "nobody answers {what} at {port}"
        );
        thread::sleep(Duration::from_millis(20));
    }
}

fn state(port: u16) -> Value {
    serde_json::from_str(&asked(port, "GET /debug/state")).expect("JSON")
}

/// The server's thread, as the kernel's folder of it, if there is one.
fn server() -> Option<PathBuf> {
    let threads = std::fs::read_dir("/proc/self/task").expect("threads are listed");
    let mut folders = threads.filter_map(|thread| Some(thread.ok()?.path()));
    folders.find(|folder| {
        std::fs::read_to_string(folder.join("comm")).is_ok_and(|name| name == "goheap-http\n")
    })
}

/// The port at which the server's thread listens, once it does.
fn port_listened_at() -> Option<u16> {
    let files = std::fs::read_dir(server()?.join("fd")).ok()?;
    let links = files.filter_map(|file| std::fs::read_link(file.ok()?.path()).ok());
    let names: Vec<_> = links
        .map(|link| link.to_string_lossy().into_owned())
        .collect();
    let sockets = std::fs::read_to_string("/proc/net/tcp").ok()?;
    let mut listening = sockets.lines().filter_map(|line| {
        let words: Vec<_> = line.split_whitespace().collect();
        // The local address, the state and the inode; 0A is LISTEN.
        let (address, state, inode) = (words.get(1)?, words.get(3)?, words.get(9)?);
        let own = *state == "0A" && names.contains(&format!("socket:[{inode}]"));
        let (_, port) = address.split_once(':').filter(|_| own)?;
        u16::from_str_radix(port, 16).ok()
    });
    listening.next()
}

/// Allocates until something is so.
#[track_caller]
fn wait_for<T>(mut what: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        black_box(vec![1u8; 1 << 20]);
        if let Some(found) = what() {
            return found;
        }
        assert!(begun.elapsed() < PATIENCE, "in vain");
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_program_is_seen_and_steered() {
    let body = || {
        let port = own_port();
        let kept = vec![1u8; 20 << 20];
        let before = state(port);
        assert_eq!(before["pid"], std::process::id());
        assert!(before["rss"].as_u64() > Some(20 << 20), "{before}");
        asked(port, "POST /debug/set?gogc=50&memlimit=1GiB");
        assert_eq!(
            (goheap::set_gc_percent(70), goheap::set_memory_limit(-1)),
            (50, 1 << 30)
        );
        assert_eq!(state(port)["gogc"], 70);
        let cycles = goheap::read_mem_stats().num_forced_gc;
        asked(port, "POST /debug/gc");
        assert_eq!(goheap::read_mem_stats().num_forced_gc, cycles + 1);
        drop(black_box(kept));
        asked(port, "POST /debug/free");
        assert!(goheap::read_mem_stats().heap_released > 20 << 20);
        let vars: Value = serde_json::from_str(&asked(port, "GET /debug/vars")).expect("JSON");
        assert!(
            vars["memstats"]["HeapReleased"].as_u64() > Some(20 << 20),
            "{vars}"
        );
        assert!(asked(port, "GET /metrics").contains("go_info{version=\"go1.27\""));
    };
    let outcome = child::run(a_program_is_seen_and_steered, at(free_port()), body);
    assert_eq!(outcome.expect_success().stderr, "");
}

#[test]
fn port_0_is_any_and_is_said() {
    let body = || {
        let port = wait_for(port_listened_at);
        state(port);
        child::report("port", port);
    };
    let outcome = child::run(port_0_is_any_and_is_said, at(0), body).expect_success();
    let said = outcome.stderr.trim();
    let address = said.split_once(" is served at http://127.0.0.1:");
    let port = address.and_then(|(_, rest)| rest.strip_suffix('/'));
    assert_eq!(port, Some(outcome.reported("port")), "{said}");
}

#[test]
fn a_port_in_use_is_said_once_and_the_program_goes_on() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let port = taken.local_addr().expect("it has an address").port();
    let body = || {
        wait_for(server);
        wait_for(|| server().is_none().then_some(()));
        assert_eq!(goheap::set_gc_percent(70), 100);
    };
    let test = a_port_in_use_is_said_once_and_the_program_goes_on;
    let outcome = child::run(test, at(port), body).expect_success();
    assert_eq!(outcome.stderr.lines().count(), 1, "{outcome}");
    assert!(
        outcome
            .stderr
            .contains("is not served: Address already in use"),
        "{outcome}"
    );
}

#[test]
fn the_server_takes_none_of_the_programs_descriptors() {
    let body = || {
        let port = own_port();
        let open = || {
            let mut names: Vec<_> = std::fs::read_dir("/proc/self/fd")
                .expect("descriptors are listed")
                .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
                .collect();
            names.sort();
            names
        };
        let before = open();
        state(port);
        let waiting = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
        state(port);
        drop(waiting);
        assert_eq!(open(), before);
        // And it holds none of the program's: a pipe ends when the program closes it.
        let (mut read, write) = std::io::pipe().expect("a pipe");
        state(port);
        drop(write);
        assert_eq!(read.read(&mut [0]).expect("the end"), 0);
    };
    let test = the_server_takes_none_of_the_programs_descriptors;
    child::run(test, at(free_port()), body).expect_success();
}

/// Forks; the new process runs `body` and ends.
fn fork(body: impl FnOnce()) -> libc::pid_t {
    // SAFETY: the new process has the heap, which is to work there, and ends without the handlers of this one.
    let process = unsafe { libc::fork() };
    if process == 0 {
        body();
        // SAFETY: ends this process alone.
        unsafe { libc::_exit(0) };
    }
    assert!(process > 0, "{}", std::io::Error::last_os_error());
    process
}

#[test]
fn a_forked_child_leaves_its_parents_port_alone() {
    let body = || {
        let port = own_port();
        let parent = state(port)["pid"].clone();
        let process = fork(|| {
            // Until it has given up.
            wait_for(server);
            wait_for(|| server().is_none().then_some(()));
        });
        for _ in 0..20 {
            assert_eq!(state(port)["pid"], parent);
            thread::sleep(Duration::from_millis(100));
        }
        // SAFETY: waits for the process that was just forked.
        let ended = unsafe { libc::waitpid(process, std::ptr::null_mut(), 0) };
        assert_eq!(ended, process);
        child::report("child", process);
    };
    let test = a_forked_child_leaves_its_parents_port_alone;
    let outcome = child::run(test, at(free_port()), body).expect_success();
    assert_eq!(outcome.stderr.lines().count(), 1, "{outcome}");
    let child = format!(
        "process {} is not served: Address already in use",
        outcome.reported("child")
    );
    assert!(outcome.stderr.contains(&child), "{outcome}");
}

#[test]
fn a_daemon_is_served_in_its_parents_place() {
    let port = free_port();
    let body = || {
        let port = own_port();
        state(port);
        fork(|| {
            // As a daemon does: a session of its own, nobody's descriptors, and on for long after its parent.
            // SAFETY: plain calls that take numbers; the path is NUL-terminated.
            unsafe {
                libc::setsid();
                libc::alarm(60);
                let null = libc::open(c"/dev/null".as_ptr(), libc::O_RDWR);
                (0..3).for_each(|standard| _ = libc::dup2(null, standard));
            }
            loop {
                black_box(vec![1u8; 1 << 20]);
                thread::sleep(Duration::from_millis(10));
            }
        });
        child::report("parent", std::process::id());
    };
    // That it returns says that the daemon holds none of the pipes to here.
    let outcome = child::run(a_daemon_is_served_in_its_parents_place, at(port), body);
    let outcome = outcome.expect_success();
    let state = state(port);
    let daemon = state["pid"].as_i64().expect("a number") as libc::pid_t;
    assert_ne!(daemon.to_string(), outcome.reported("parent"));
    // SAFETY: a process that this test started.
    unsafe { libc::kill(daemon, libc::SIGKILL) };
}

/// Keeps 40 MiB, a KiB at a time.
#[inline(never)]
fn keeps_much(kept: &mut Vec<Vec<u8>>) {
    kept.extend((0..40 << 10).map(|_| black_box(vec![1u8; 1024])));
}

/// Allocates 100 MiB, and keeps nothing.
#[inline(never)]
fn keeps_nothing() {
    (0..100 << 10).for_each(|_| drop(black_box(vec![1u8; 1024])));
}

/// The figure of the function of that name.
fn of(top: &(Vec<(String, f64)>, f64), name: &str) -> f64 {
    let found = top.0.iter().filter(|(function, _)| function.contains(name));
    found.map(|(_, bytes)| bytes).sum()
}

#[test]
fn gos_pprof_fetches_profiles() {
    let body = || {
        let Some(go) = pprof::go() else { return };
        let port = own_port();
        let top = |path: &str, what: &[&str]| {
            let address = format!("http://127.0.0.1:{port}/debug/pprof/{path}");
            pprof::top(&go, what, std::path::Path::new(&address))
        };
        let mut kept = Vec::new();
        keeps_much(&mut kept);
        keeps_nothing();
        asked(port, "GET /debug/state");
        let mib = f64::from(1 << 20);
        let much = |top| of(&top, "keeps_much") / mib;
        let nothing = |top| of(&top, "keeps_nothing") / mib;
        // What is shown first is what the profile's name says.
        let heap = top("heap?gc=1", &[]);
        assert!((30.0..50.0).contains(&much(heap.clone())), "{heap:?}");
        assert!(nothing(heap.clone()) < 5.0, "{heap:?}");
        let allocs = top("allocs", &[]);
        assert!(
            (75.0..125.0).contains(&nothing(allocs.clone())),
            "{allocs:?}"
        );
        // What comes in between, and not what was there. When that begins and ends only pprof knows.
        let (delta, rounds) = thread::scope(|scope| {
            let asking = scope.spawn(|| top("allocs?seconds=3", &[]));
            let mut rounds = 0;
            while !asking.is_finished() {
                keeps_nothing();
                goheap::gc();
                rounds += 1;
                thread::sleep(Duration::from_millis(50));
            }
            (asking.join().expect("pprof answers"), rounds)
        });
        let most = 125.0 * f64::from(rounds);
        assert!((75.0..most).contains(&nothing(delta.clone())), "{delta:?}");
        assert!(much(delta.clone()).abs() < 5.0, "{delta:?}");
        black_box(kept);
    };
    let port = free_port();
    // Of 40 MiB, 640 samples: 10 MiB are six standard deviations. One in 512 KiB would make them two.
    let sampled = |command: &mut Command| {
        at(port)(command);
        command.env("GOHEAP_PROFILE_RATE", "64KiB");
    };
    let outcome = child::run(gos_pprof_fetches_profiles, sampled, body);
    print!("{}", outcome.expect_success().stdout);
}
