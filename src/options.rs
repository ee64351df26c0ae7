//! The knobs: one table that the parser, `--help` and the README are made from.
//!
//! Read once, from the environment, before the first allocation returns; nothing
//! here allocates. A bad value costs one line on standard error, and its default holds.

use core::ffi::CStr;
use core::fmt::Write;
use core::net::SocketAddr;
use goheap_allocator::os::{self, Line};
use goheap_pacer::Rules;
use goheap_scavenger::{NEWEST, Policy};
mod values;

use values::{address, bytes, decimal, flag, version, whole};

/// One knob.
#[derive(Clone, Copy, Debug)]
pub struct Knob {
    /// The environment variable, or `GODEBUG=name` for a setting inside that variable.
    pub name: &'static str,
    /// What a value looks like.
    pub takes: &'static str,
    /// What holds without one.
    pub default: &'static str,
    /// What it does.
    pub does: &'static str,
    /// What Go calls it; empty where Go has it built in.
    pub go: &'static str,
    variable: &'static CStr,
    set: fn(&mut Options, &[u8]) -> bool,
}

/// What the environment says, in the units that its users need.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Options {
    /// Go 1.`go` is whose pacer and scavenger this is.
    pub go: u8,
    /// How many times as fast the clock of what waits runs.
    pub time_scale: f64,
    /// Percent; negative: off.
    pub gc_percent: i32,
    /// Bytes; [`i64::MAX`]: none.
    pub memory_limit: i64,
    /// A line for each cycle.
    pub gctrace: bool,
    /// A line for each sweep's end and each forced release.
    pub scavtrace: bool,
    /// `MADV_FREE` instead of `MADV_DONTNEED`.
    pub madv_free: bool,
    /// No transparent huge pages in the heap.
    pub disable_thp: bool,
    /// Bytes at GOGC=100.
    pub least_heap: u64,
    /// Percent kept beyond the scavenger's goal.
    pub retain_percent: u64,
    /// Percent of all processors' time.
    pub scavenge_percent: f64,
    /// Nanoseconds.
    pub forced_period_ns: u64,
    /// Objects under 16 bytes share blocks.
    pub tiny: bool,
    /// Frees take effect when a death log is flushed, not at a cycle.
    pub eager: bool,
    /// Whether the process shows its counters.
    pub publish: bool,
    /// Where the process is served over HTTP.
    pub http: Option<SocketAddr>,
    /// The whole heap is checked at each cycle.
    pub check: bool,
    /// Bytes allocated from one sample of the heap profile to the next; 0: none, 1: every object.
    pub profile_rate: u64,
    /// Heap profiles are written as the process ends.
    pub profile_at_exit: bool,
    /// Each free is looked at as it is made, and freed memory is filled.
    pub poison: bool,
    /// Where things lie differs from run to run.
    pub randomize: bool,
    /// One in so many small objects is guarded; 0: none.
    pub guard: u64,
}

/// All knobs. The policy stands first, for it presets what later ones set.
pub const KNOBS: &[Knob] = &[
    Knob {
        name: "GOHEAP_POLICY",
        takes: "go1.1 to go1.27",
        default: "go1.27",
        does: "Which version of Go decides when a cycle runs, and what goes back to the system, when and how. Presets the least heap, GOHEAP_TINY and madvdontneed.",
        go: "",
        variable: c"GOHEAP_POLICY",
        set: |o, v| {
            let Some(minor) = version(v) else {
                return false;
            };
            o.go = minor;
            o.least_heap = Rules::least_heap(minor);
            o.tiny = Rules::tiny(minor);
            o.madv_free = Policy::go(minor).lazily;
            true
        },
    },
    Knob {
        name: "GOHEAP_TIME_SCALE",
        takes: "a factor from 0.001 to 1000000, a decimal fraction",
        default: "1",
        does: "For study: forced cycles, scavenging passes, idle ages and the scavenger's sleeps take a so many times shorter time.",
        go: "",
        variable: c"GOHEAP_TIME_SCALE",
        set: |o, v| {
            set(
                &mut o.time_scale,
                decimal(v).filter(|f| (0.001..=1e6).contains(f)),
            )
        },
    },
    Knob {
        name: "GOGC",
        takes: "percent from 0 to 2147483647, or off",
        default: "100",
        does: "A cycle comes when the heap has grown by this much over what was live after the last one. Lower: less garbage, more cycles.",
        go: "GOGC, debug.SetGCPercent",
        variable: c"GOGC",
        set: |o, v| {
            set(
                &mut o.gc_percent,
                if v == b"off" {
                    Some(-1)
                } else {
                    whole(v).and_then(|n| i32::try_from(n).ok())
                },
            )
        },
    },
    Knob {
        name: "GOMEMLIMIT",
        takes: "bytes with B, KiB, MiB, GiB or TiB behind them or nothing, or off",
        default: "off",
        does: "Memory in use above which cycles come earlier and idle memory goes back. A soft limit.",
        go: "GOMEMLIMIT, debug.SetMemoryLimit",
        variable: c"GOMEMLIMIT",
        set: |o, v| {
            set(
                &mut o.memory_limit,
                if v == b"off" {
                    Some(i64::MAX)
                } else {
                    bytes(v).and_then(|n| i64::try_from(n).ok())
                },
            )
        },
    },
    Knob {
        name: "GODEBUG=gctrace",
        takes: "0 or 1",
        default: "0",
        does: "Prints a line on standard error for each cycle, as Go's.",
        go: "the same",
        variable: c"GODEBUG",
        set: |o, v| set(&mut o.gctrace, flag(v)),
    },
    Knob {
        name: "GODEBUG=scavtrace",
        takes: "0 or 1",
        default: "0",
        does: "Prints a line on standard error when a sweep ends and when memory is returned on request: what went back to the system.",
        go: "the same",
        variable: c"GODEBUG",
        set: |o, v| set(&mut o.scavtrace, flag(v)),
    },
    Knob {
        name: "GODEBUG=madvdontneed",
        takes: "0 or 1",
        default: "1",
        does: "0 returns memory by MADV_FREE: cheaper, but it counts as RSS until the kernel takes it.",
        go: "the same",
        variable: c"GODEBUG",
        set: |o, v| set(&mut o.madv_free, flag(v).map(|f| !f)),
    },
    Knob {
        name: "GODEBUG=disablethp",
        takes: "0 or 1",
        default: "0",
        does: "1 keeps transparent huge pages out of the heap.",
        go: "the same",
        variable: c"GODEBUG",
        set: |o, v| set(&mut o.disable_thp, flag(v)),
    },
    Knob {
        name: "GOHEAP_LEAST_HEAP",
        takes: "bytes with B, KiB, MiB, GiB or TiB behind them or nothing",
        default: "4MiB",
        does: "The goal is never below this, at GOGC=100; it scales with GOGC.",
        go: "defaultHeapMinimum (mgcpacer.go)",
        variable: c"GOHEAP_LEAST_HEAP",
        set: |o, v| set(&mut o.least_heap, bytes(v)),
    },
    Knob {
        name: "GOHEAP_RETAIN_PERCENT",
        takes: "percent from 0 to 10000",
        default: "10",
        does: "The background scavenger keeps this much more than the heap is expected to need.",
        go: "retainExtraPercent (mgcscavenge.go)",
        variable: c"GOHEAP_RETAIN_PERCENT",
        set: |o, v| set(&mut o.retain_percent, whole(v).filter(|&n| n <= 10_000)),
    },
    Knob {
        name: "GOHEAP_SCAVENGE_PERCENT",
        takes: "percent from 0.01 to 100, a decimal fraction",
        default: "1",
        does: "The share of all processors' time that the background scavenger may take.",
        go: "scavengePercent (mgcscavenge.go)",
        variable: c"GOHEAP_SCAVENGE_PERCENT",
        set: |o, v| {
            set(
                &mut o.scavenge_percent,
                decimal(v).filter(|p| (0.01..=100.0).contains(p)),
            )
        },
    },
    Knob {
        name: "GOHEAP_FORCED_CYCLE_PERIOD",
        takes: "seconds from 0.001 to 1000000000, a decimal fraction, or off",
        default: "120",
        does: "A cycle is forced when there was none for this long.",
        go: "forcegcperiod (proc.go)",
        variable: c"GOHEAP_FORCED_CYCLE_PERIOD",
        set: |o, v| {
            let seconds = decimal(v)
                .filter(|s| (0.001..=1e9).contains(s))
                .map(|s| (s * 1e9) as u64);
            set(
                &mut o.forced_period_ns,
                if v == b"off" { Some(u64::MAX) } else { seconds },
            )
        },
    },
    Knob {
        name: "GOHEAP_RECLAIM",
        takes: "cycle or eager",
        default: "cycle",
        does: "eager frees at once what cycle leaves for the next collection: tells Go's lag from fragmentation.",
        go: "",
        variable: c"GOHEAP_RECLAIM",
        set: |o, v| {
            set(
                &mut o.eager,
                match v {
                    b"eager" => Some(true),
                    b"cycle" => Some(false),
                    _ => None,
                },
            )
        },
    },
    Knob {
        name: "GOHEAP_TINY",
        takes: "0 or 1",
        default: "1",
        does: "1 has objects under 16 bytes share blocks of 16, which go when all in them are dead. 0 gives each a slot of its own.",
        go: "mallocgcTiny (malloc.go)",
        variable: c"GOHEAP_TINY",
        set: |o, v| set(&mut o.tiny, flag(v)),
    },
    Knob {
        name: "GOHEAP_PUBLISH",
        takes: "0 or 1",
        default: "1",
        does: "1 lets goheap's tools see and steer the process: a page in /dev/shm, and a thread that sleeps. 0: neither.",
        go: "",
        variable: c"GOHEAP_PUBLISH",
        set: |o, v| set(&mut o.publish, flag(v)),
    },
    Knob {
        name: "GOHEAP_HTTP",
        takes: "an address and a port such as 127.0.0.1:6060 or [::1]:6060, a port alone for 127.0.0.1, or off; port 0: any",
        default: "off",
        does: "Serves Go's /debug/pprof/, /debug/vars and /metrics there, and a live page. Takes a build with the feature http.",
        go: "net/http/pprof, expvar",
        variable: c"GOHEAP_HTTP",
        set: |o, v| {
            let address = address(v);
            set(
                &mut o.http,
                if v == b"off" {
                    Some(None)
                } else {
                    address.map(Some)
                },
            )
        },
    },
    Knob {
        name: "GOHEAP_CHECK",
        takes: "0 or 1",
        default: "0",
        does: "1 holds all the heap's structures against each other at each cycle. What disagrees is said on standard error, and ends the process.",
        go: "GODEBUG=gccheckmark=1",
        variable: c"GOHEAP_CHECK",
        set: |o, v| set(&mut o.check, flag(v)),
    },
    Knob {
        name: "GOHEAP_PROFILE_RATE",
        takes: "bytes with B, KiB, MiB, GiB or TiB behind them or nothing",
        default: "512KiB",
        does: "The heap profile samples an object each time so many bytes were allocated, on average. 1: every object, which is slow; 0: none.",
        go: "GODEBUG=memprofilerate, runtime.MemProfileRate",
        variable: c"GOHEAP_PROFILE_RATE",
        set: |o, v| set(&mut o.profile_rate, bytes(v)),
    },
    Knob {
        name: "GOHEAP_PROFILE",
        takes: "a path; %p is the process, %n counts its profiles, %% is a percent sign",
        default: "goheap.%p.%n.pb.gz",
        does: "Where heap profiles go that SIGUSR1 and the process's end ask for; a path without %n is written anew each time.",
        go: "go test -memprofile",
        variable: c"GOHEAP_PROFILE",
        // Read when a profile is written, which may be long enough.
        set: |_, v| v.len() < 4096,
    },
    Knob {
        name: "GOHEAP_PROFILE_AT_EXIT",
        takes: "0 or 1",
        default: "0",
        does: "1 writes two heap profiles as the process ends: one of then, and one, with .peak in its name, of when the heap was at its largest.",
        go: "",
        variable: c"GOHEAP_PROFILE_AT_EXIT",
        set: |o, v| set(&mut o.profile_at_exit, flag(v)),
    },
    Knob {
        name: "GOHEAP_POISON",
        takes: "0 or 1",
        default: "0",
        does: "1 looks at each free as it is made, its layout included, and fills what was freed, large objects whole; a cycle that finds it changed names it and ends the process. No objects share a block then. Nothing is filled under GOHEAP_RECLAIM=eager.",
        go: "GODEBUG=clobberfree=1",
        variable: c"GOHEAP_POISON",
        set: |o, v| set(&mut o.poison, flag(v)),
    },
    Knob {
        name: "GOHEAP_RANDOMIZE",
        takes: "0 or 1",
        default: "0",
        does: "1 has the heap lie elsewhere in each run, and objects of a span begin at a random slot: addresses are hard to guess, and figures do not repeat.",
        go: "GOEXPERIMENT=randomizedheapbase64, for the base",
        variable: c"GOHEAP_RANDOMIZE",
        set: |o, v| set(&mut o.randomize, flag(v)),
    },
    Knob {
        name: "GOHEAP_GUARD",
        takes: "a number of objects, 1 or more, or 0 for none",
        default: "0",
        does: "One in so many objects of up to 4 KiB, on average, stands alone between pages that nobody may touch, up to 256 at a time: an overflow or a use after free faults, and is told with the stacks of its allocation and free. Each free is looked at as it is made.",
        go: "",
        variable: c"GOHEAP_GUARD",
        set: |o, v| set(&mut o.guard, whole(v)),
    },
];

impl Knob {
    /// What a variable's text says for this knob, if that is something that it takes. For a setting of
    /// `GODEBUG` the text is the whole list.
    pub fn value_in<'a>(&self, text: &'a [u8]) -> Option<&'a [u8]> {
        let value = self.written_in(text)?;
        let mut scratch = Options::DEFAULT;
        (self.set)(&mut scratch, value).then_some(value)
    }

    fn written_in<'a>(&self, text: &'a [u8]) -> Option<&'a [u8]> {
        match self.name.split_once('=') {
            Some((_, setting)) => last_setting(text, setting.as_bytes()),
            None => Some(text).filter(|text| !text.is_empty()),
        }
    }
}

/// What the environment would make of one variable, if `name` is that of a knob and `value` what it takes.
///
/// # Errors
/// What the knob takes; empty if there is none of this name.
pub fn set_one(name: &str, value: &[u8]) -> Result<Options, &'static str> {
    let knob = KNOBS.iter().find(|knob| knob.name == name).ok_or("")?;
    let mut options = Options::DEFAULT;
    match !value.is_empty() && (knob.set)(&mut options, value) {
        true => Ok(options),
        false => Err(knob.takes),
    }
}

impl Options {
    /// What holds if the environment says nothing.
    pub const DEFAULT: Self = Self {
        go: NEWEST,
        time_scale: 1.0,
        gc_percent: 100,
        memory_limit: i64::MAX,
        gctrace: false,
        scavtrace: false,
        madv_free: false,
        disable_thp: false,
        least_heap: 4 << 20,
        retain_percent: 10,
        scavenge_percent: 1.0,
        forced_period_ns: 120_000_000_000,
        tiny: true,
        eager: false,
        publish: true,
        http: None,
        check: false,
        profile_rate: 512 << 10,
        profile_at_exit: false,
        poison: false,
        randomize: false,
        guard: 0,
    };

    /// What the environment says. Complains on standard error about values that it cannot take.
    /// In a process with more rights than who started it, nothing that it says opens a file or a port.
    pub fn from_environment() -> Self {
        let options = Self::from_lookup(os::environment, os::stderr_line);
        if os::is_privileged() {
            options.within_the_process()
        } else {
            options
        }
    }

    /// The same without all that others are shown, let into, or left in files.
    fn within_the_process(self) -> Self {
        Self {
            publish: false,
            http: None,
            profile_at_exit: false,
            ..self
        }
    }

    fn from_lookup<'a>(
        find: impl Fn(&CStr) -> Option<&'a [u8]>,
        mut complain: impl FnMut(&[u8]),
    ) -> Self {
        let mut options = Self::DEFAULT;
        for knob in KNOBS {
            let Some(text) = find(knob.variable) else {
                continue;
            };
            let Some(value) = knob.written_in(text) else {
                continue;
            };
            if !(knob.set)(&mut options, value) {
                let mut line = Line::new();
                let shown =
                    core::str::from_utf8(&value[..value.len().min(64)]).unwrap_or("(not text)");
                let separator = if knob.name.contains('=') { ':' } else { '=' };
                // Writing to a line cannot fail: it cuts what does not fit.
                let _ = writeln!(
                    line,
                    "goheap: {}{separator}{shown} is not understood: it takes {}; using {}",
                    knob.name, knob.takes, knob.default
                );
                complain(line.text());
            }
        }
        options
    }
}

/// The value of `name` in a list like `a=1,b=2`; the last one counts, as in Go.
fn last_setting<'a>(list: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    list.split(|&c| c == b',')
        .rev()
        .find_map(|item| item.strip_prefix(name)?.strip_prefix(b"="))
}

fn set<T>(field: &mut T, value: Option<T>) -> bool {
    match value {
        Some(v) => {
            *field = v;
            true
        }
        None => false,
    }
}

#[cfg(test)]
mod tests;
