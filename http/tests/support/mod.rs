//! A server over a program that is not there, and clients of it.
#![allow(dead_code, reason = "each test binary uses its part of this")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use goheap_http::{Knob, Program, Server};
use goheap_stats::map::{Run, State};
use goheap_stats::metrics::{Inputs, Metrics, TimeHistogram};
use goheap_stats::profile::{Samples, Site, Symbols};
use goheap_stats::{CLASSES, ClassCounts, MemStats, Snapshot};

/// A client that is not answered is a failure, not a hang of the whole run.
const PATIENCE: Duration = Duration::from_secs(60);

/// A program with made-up figures, which writes down what is done to it.
pub struct Made {
    done: Mutex<Vec<String>>,
    /// How often its samples were taken.
    taken: Mutex<i64>,
    /// Whoever holds it keeps names of functions from being found.
    pub names: Mutex<()>,
}

impl Made {
    fn note(&self, what: impl Into<String>) {
        self.done.lock().unwrap().push(what.into());
    }

    /// What was done to it.
    pub fn done(&self) -> Vec<String> {
        self.done.lock().unwrap().clone()
    }
}

pub fn stats() -> MemStats {
    let mut stats = MemStats::zeroed();
    stats.alloc = 3_000;
    stats.heap_alloc = 3_000;
    stats.total_alloc = 123_456_789_012;
    stats.mallocs = 40;
    stats.frees = 30;
    stats.heap_inuse = 8_192;
    stats.heap_idle = 16_384;
    stats.heap_sys = 24_576;
    stats.sys = 30_000;
    stats.num_gc = 3;
    stats.num_forced_gc = 1;
    stats.pause_total_ns = 6_000;
    stats.pause_ns[..3].copy_from_slice(&[1_000, 2_000, 3_000]);
    stats.last_gc = 1_700_000_000_500_000_000;
    stats
}

fn classes() -> [ClassCounts; CLASSES] {
    std::array::from_fn(|class| ClassCounts {
        size: class as u32 * 16,
        mallocs: u64::from(class < 40),
        frees: u64::from(class < 30),
    })
}

impl Program for Made {
    fn counters(&self) -> (MemStats, Snapshot) {
        let snapshot = Snapshot {
            gc_percent: 100,
            memory_limit: i64::MAX,
            heap_marked: 1_000,
            ..Snapshot::zeroed()
        };
        (stats(), snapshot.with(&stats(), classes()))
    }

    fn metrics(&self) -> Metrics {
        Metrics::of(&Inputs {
            stats: &stats(),
            classes: &classes(),
            tiny_allocs: 0,
            heap_marked: 1_000,
            gc_percent: -1,
            memory_limit: i64::MAX,
            limited_in: 0,
            pauses: &TimeHistogram::NEW,
        })
    }

    fn samples(&self) -> Samples {
        let mut taken = self.taken.lock().unwrap();
        *taken += 1;
        Samples {
            rate: 512 << 10,
            taken_ns: 1,
            duration_ns: 1,
            comments: Vec::new(),
            sites: vec![Site {
                stack: vec![0x1001, 0x2001],
                slot_bytes: 1 << 20,
                // Three more each time that somebody looks.
                allocs: 3 * *taken,
                ..Site::default()
            }],
        }
    }

    fn symbols(&self, _: &Samples) -> Symbols {
        let _waits = self.names.lock().unwrap();
        Symbols::default()
    }

    fn map(&self, with: &mut dyn FnMut(&Run)) {
        // Two spans of 16 KiB, and idle pages between and behind them.
        for (page, pages, state) in [
            (0, 2, State::InUse),
            (2, 1, State::Retained),
            (3, 2, State::Cached),
            (5, 3, State::Released),
        ] {
            let span = state.is_span();
            with(&Run {
                address: (1 << 32) + page * 8192,
                bytes: pages * 8192,
                state,
                class: 0,
                slot_bytes: u64::from(span) * 16384,
                slots: u16::from(span),
                live: u16::from(span),
                dead: 0,
                waiting: 0,
                opened: 0,
                left: None,
            });
        }
    }

    fn gc(&self) {
        self.note("gc");
    }

    fn free_os_memory(&self) {
        self.note("free");
    }

    fn check(&self, _: Knob, value: &str) -> Result<(), &'static str> {
        match value {
            "bad" => Err("something else"),
            _ => Ok(()),
        }
    }

    fn set(&self, knob: Knob, value: &str) {
        self.note(format!("{}={value}", knob.name()));
    }

    fn processors(&self) -> u32 {
        2
    }

    fn version(&self) -> String {
        "go1.27".into()
    }
}

/// A server of such a program; it lives as long as the test binary.
pub fn served() -> (SocketAddr, &'static Made) {
    let made: &'static Made = Box::leak(Box::new(Made {
        done: Mutex::new(Vec::new()),
        taken: Mutex::new(0),
        names: Mutex::new(()),
    }));
    let server = Server::bind("127.0.0.1:0".parse().unwrap()).expect("a port is free");
    let address = server.address().expect("it has an address");
    thread::spawn(move || server.run(made));
    (address, made)
}

/// An answer.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub head: String,
    pub body: String,
    pub bytes: Vec<u8>,
}

impl Reply {
    /// A header's value.
    #[track_caller]
    pub fn header(&self, name: &str) -> &str {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        let found = lines.find(|(key, _)| key.eq_ignore_ascii_case(name));
        found
            .unwrap_or_else(|| panic!("no {name}: {}", self.head))
            .1
    }
}

pub fn connected(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    stream
}

/// What comes back to some bytes.
#[track_caller]
pub fn sent(address: SocketAddr, bytes: &[u8]) -> Reply {
    let mut stream = connected(address);
    stream.write_all(bytes).expect("it takes a request");
    reply(&mut stream)
}

/// Reads an answer to its end.
#[track_caller]
pub fn reply(stream: &mut TcpStream) -> Reply {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).expect("it answers");
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let behind = bytes.windows(4).position(|four| four == b"\r\n\r\n");
    let bytes = bytes.split_off(behind.map_or(bytes.len(), |at| at + 4));
    let (head, body) = text
        .split_once("\r\n\r\n")
        .unwrap_or_else(|| panic!("no answer: {text:?}"));
    let status = head.split(' ').nth(1).and_then(|n| n.parse().ok());
    Reply {
        status: status.unwrap_or_else(|| panic!("no status: {head}")),
        head: head.into(),
        body: body.into(),
        bytes,
    }
}

/// Asks for something, with more headers if there are any.
#[track_caller]
pub fn asked(address: SocketAddr, what: &str, headers: &str) -> Reply {
    sent(
        address,
        format!("{what} HTTP/1.1\r\nHost: {address}\r\n{headers}\r\n").as_bytes(),
    )
}
