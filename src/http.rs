//! The server for `GOHEAP_HTTP`: when it starts, in which thread, and what it sees of the heap. How it answers is `goheap-http`'s.
//!
//! It starts where the process is published (`publish.rs`), in a thread with file descriptors of its own: a
//! program may count on which number it gets next, and a forked child is not to hold its parent's port.
//!
//! A forked child asks for the same port. If its parent ends, as that of a daemon does, the
//! child takes over; if not, it is not served, and says so. It waits a second first: by then a
//! daemon has put its standard error elsewhere, of which the server's thread keeps a copy, and children that end soon are gone.

use crate::options::{self, Options};
use crate::profile::{self, Profile};
use crate::runtime::RUNTIME;
use crate::{background, control, snapshot};
use core::ffi::c_void;
use core::net::SocketAddr;
use core::ptr::null_mut;
use core::sync::atomic::AtomicU8;
use core::sync::atomic::Ordering::{AcqRel, Relaxed};
use core::time::Duration;
use goheap_allocator::os;
use goheap_http::{Knob, Program, Server};
use goheap_stats::map::Run;
use goheap_stats::metrics::Metrics;
use goheap_stats::profile::{Samples, Symbols};
use goheap_stats::{MemStats, Snapshot};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;

/// Not to be served.
const OFF: u8 = 0;
/// To be served.
const NEW: u8 = 1;
/// The child of a `fork`, to be served.
const FORKED: u8 = 2;
/// Served, or refused by the system.
const SETTLED: u8 = 3;

static STATE: AtomicU8 = AtomicU8::new(OFF);
static ADDRESS: OnceLock<SocketAddr> = OnceLock::new();

/// How long a forked child waits before it asks for the port …
const AFTER_FORK: Duration = Duration::from_secs(1);
/// … and how often a port in use is asked for again, at this distance: who had it may be ending.
const TRIES: u32 = 20;
const BETWEEN: Duration = Duration::from_millis(100);

/// Bytes of stack.
const STACK: usize = 1 << 20;

/// Sets where the process is to be served.
pub fn configure(address: Option<SocketAddr>) {
    if let Some(address) = address
        && ADDRESS.set(address).is_ok()
    {
        STATE.store(NEW, Relaxed);
    }
}

/// Whether there is a server, which has a thread for as long as the process lives.
pub fn is_there() -> bool {
    STATE.load(Relaxed) == SETTLED
}

/// Starts the server if that is yet to be done. To be called where the calling thread holds no lock, and libc
/// is set up: starting a thread may allocate.
pub fn begin_if_due() {
    let state = STATE.load(Relaxed);
    if state != NEW && state != FORKED {
        return;
    }
    let won = STATE.compare_exchange(state, SETTLED, AcqRel, Relaxed);
    if won.is_err() {
        return;
    }
    let body = if state == FORKED { serve_child } else { serve };
    // SAFETY: no stack is given.
    let started =
        os::keeping_errno(|| unsafe { os::start_thread(c"goheap-http", None, STACK, body) });
    if !started && let Some(address) = ADDRESS.get() {
        complain(address, format_args!("the system refuses a thread"));
    }
}

/// In the child of a `fork`, where the thread does not exist.
pub fn after_fork_in_child() {
    if STATE.load(Relaxed) == SETTLED {
        STATE.store(FORKED, Relaxed);
    }
}

extern "C" fn serve_child(argument: *mut c_void) -> *mut c_void {
    std::thread::sleep(AFTER_FORK);
    serve(argument)
}

extern "C" fn serve(_: *mut c_void) -> *mut c_void {
    let Some(address) = ADDRESS.get() else {
        return null_mut();
    };
    // A mistake in the server is not to end the program.
    match catch_unwind(AssertUnwindSafe(|| listen(*address)?.run(&Heap))) {
        Ok(Ok(())) => {}
        Ok(Err(error)) => complain(address, format_args!("{error}")),
        Err(_) => complain(address, format_args!("the server made a mistake")),
    }
    null_mut()
}

fn complain(address: &SocketAddr, why: core::fmt::Arguments<'_>) {
    background::print_line(format_args!(
        "goheap: GOHEAP_HTTP={address}: process {} is not served: {why}",
        os::process_id()
    ));
}

fn listen(address: SocketAddr) -> io::Result<Server> {
    if !os::own_descriptors() {
        let why = "a thread cannot have file descriptors of its own: the system refuses close_range and unshare, or has no /proc";
        return Err(io::Error::new(io::ErrorKind::Unsupported, why));
    }
    let mut tries = 1;
    let server = loop {
        match Server::bind(address) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && tries < TRIES => {
                tries += 1;
                std::thread::sleep(BETWEEN);
            }
            other => break other?,
        }
    };
    if address.port() == 0 {
        let given = server.address()?;
        background::print_line(format_args!(
            "goheap: process {} is served at http://{given}/",
            os::process_id()
        ));
    }
    Ok(server)
}

/// The process's heap, as the server sees it.
struct Heap;

impl Program for Heap {
    fn counters(&self) -> (MemStats, Snapshot) {
        snapshot::with_counters()
    }

    fn metrics(&self) -> Metrics {
        snapshot::metrics()
    }

    fn samples(&self) -> Samples {
        Profile::now().into_samples()
    }

    fn symbols(&self, samples: &Samples) -> Symbols {
        profile::symbols(samples)
    }

    fn map(&self, with: &mut dyn FnMut(&Run)) {
        crate::heap_map(with);
    }

    fn gc(&self) {
        control::gc();
    }

    fn free_os_memory(&self) {
        control::free_os_memory();
    }

    fn check(&self, knob: Knob, value: &str) -> Result<(), &'static str> {
        parsed(knob, value).map(|_| ())
    }

    fn set(&self, knob: Knob, value: &str) {
        let Ok(options) = parsed(knob, value) else {
            return;
        };
        match knob {
            Knob::Gogc => control::set_gc_percent(options.gc_percent).into(),
            Knob::Memlimit => control::set_memory_limit(options.memory_limit),
        };
    }

    fn processors(&self) -> u32 {
        RUNTIME.processors.load(Relaxed)
    }

    fn version(&self) -> String {
        format!("go1.{}", RUNTIME.version())
    }
}

fn parsed(knob: Knob, value: &str) -> Result<Options, &'static str> {
    options::set_one(knob.name(), value.as_bytes())
}
