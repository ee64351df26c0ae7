//! A running program's heap over HTTP, under Go's paths, so that Go's tools work on it: `go tool pprof`,
//! what reads `/debug/vars`, Prometheus and the dashboards made for Go programs. `/` is a live page.
//!
//! | path | answer |
//! | --- | --- |
//! | `/` | the live page |
//! | `/debug/pprof/`, `/debug/pprof/heap`, `/debug/pprof/allocs` | heap profiles, as Go's `net/http/pprof` serves them |
//! | `/metrics` | OpenMetrics or Prometheus's text, under the names of Prometheus's Go collector |
//! | `/debug/vars` | `runtime.MemStats` as Go's expvar has it |
//! | `/debug/state`, `/debug/map` | what the live page draws, as JSON |
//! | `POST /debug/gc`, `/debug/free`, `/debug/set` | turn a knob |
//!
//! It runs in one thread of somebody's program, and knows that program as a [`Program`] only. That thread
//! waits for all clients at once and for none in particular, and has a profile, which takes long, made in another: a connection has limits for its size
//! and time (`connection.rs`), and there is a limited number of them (`server.rs`), of which
//! the one that got on least makes room for a new one. Who asks is checked first (`request.rs`): a browser that another site's page
//! has ask for something is refused.
//!
//! | file | idea |
//! | --- | --- |
//! | `server.rs` | all connections, one thread |
//! | `connection.rs` | a client, from its first byte to its last |
//! | `request.rs` | what it asks, and whether it may |
//! | `answer.rs` | what each path answers |
//! | `pprof.rs` | heap profiles |
//! | `response.rs` | an answer as bytes |
//! | `families.rs`, `exposition.rs` | Prometheus's metrics, and how they are written |
//! | `state.rs`, `map.rs` | what the live page draws |
//! | `process.rs` | what the kernel says of the process |
#![forbid(unsafe_code)]

mod answer;
mod connection;
mod exposition;
mod families;
mod map;
mod pprof;
mod process;
mod request;
mod response;
mod server;
mod state;

pub use server::Server;

use goheap_stats::map::Run;
use goheap_stats::metrics::Metrics;
use goheap_stats::profile::{Samples, Symbols};
use goheap_stats::{MemStats, Snapshot};

/// The heap of the program in which the server runs. Methods may take as long as a cycle does.
pub trait Program: Sync {
    /// The counters, and what the pacer and the scavenger aim at, of one moment. The resident set is left 0.
    fn counters(&self) -> (MemStats, Snapshot);
    /// The figures of `runtime/metrics`.
    fn metrics(&self) -> Metrics;
    /// What the heap profile has sampled up to now.
    fn samples(&self) -> Samples;
    /// The functions of the samples' stacks.
    fn symbols(&self, samples: &Samples) -> Symbols;
    /// Calls `with` for each run of the heap's address space, by address.
    fn map(&self, with: &mut dyn FnMut(&Run));
    /// Runs a cycle (Go: `runtime.GC`).
    fn gc(&self);
    /// Runs a cycle and gives idle memory back (Go: `debug.FreeOSMemory`).
    fn free_os_memory(&self);
    /// Whether a knob takes a value, written as in the environment.
    ///
    /// # Errors
    /// What the knob takes.
    fn check(&self, knob: Knob, value: &str) -> Result<(), &'static str>;
    /// Sets it; does nothing with a value that it does not take.
    fn set(&self, knob: Knob, value: &str);
    /// Processors that count as the program's.
    fn processors(&self) -> u32;
    /// The version of Go whose behaviour this is, such as `go1.27`.
    fn version(&self) -> String;
}

/// What can be set in a running program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Knob {
    /// GOGC (Go: `debug.SetGCPercent`).
    Gogc,
    /// GOMEMLIMIT (Go: `debug.SetMemoryLimit`).
    Memlimit,
}

impl Knob {
    /// As the environment has it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Gogc => "GOGC",
            Self::Memlimit => "GOMEMLIMIT",
        }
    }
}
