//! The table of knobs.

use super::Knob;
use super::values::{address, bytes, decimal, flag, percent, processors, version, whole};
use goheap_pacer::Rules;
use goheap_scavenger::Policy;

/// All knobs. The policy stands first, for it presets what later ones set.
pub const KNOBS: &[Knob] = &[
    Knob {
        name: "GOHEAP_POLICY",
        takes: "go1.1 to go1.27",
        default: "go1.27",
        does: "Which version of Go decides when a cycle runs, and what goes back to the system, when and how. Presets the least heap, GOHEAP_TINY, madvdontneed, GOMAXPROCS and containermaxprocs.",
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
            o.processors = Rules::processors(minor);
            o.minds_quota = Rules::minds_quota(minor);
            true
        },
    },
    Knob {
        name: "GOHEAP_TIME_SCALE",
        takes: "a factor from 0.001 to 1000000, a decimal fraction",
        default: "1",
        does: "For study: forced cycles and scavenging passes come, and idle ages and the scavenger's sleeps end, so many times sooner.",
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
        takes: "percent from 0 to 2147483647, or off, as which a negative number counts",
        default: "100",
        does: "A cycle comes when the heap has grown by this much over what was live after the last one. Lower: less garbage, more cycles.",
        go: "GOGC, debug.SetGCPercent",
        variable: c"GOGC",
        set: |o, v| {
            set(
                &mut o.gc_percent,
                if v == b"off" { Some(-1) } else { percent(v) },
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
        name: "GOMAXPROCS",
        takes: "a number of processors from 1 to 2147483647, or 0 for those that the process may use",
        default: "0",
        does: "How many processors count as the process's: in the scavenger's share of their time, in the CPU limiter and the share that collecting took, and in traces. It may use those that it may run on, within its container's limit, as of the start.",
        go: "GOMAXPROCS, runtime.GOMAXPROCS",
        variable: c"GOMAXPROCS",
        set: |o, v| set(&mut o.processors, processors(v)),
    },
    Knob {
        name: "GODEBUG=containermaxprocs",
        takes: "0 or 1",
        default: "1",
        does: "1 has a quota of processor time, which a container's CPU limit is, count in what the process may use: rounded up, and as 2 processors at the least. 0: it may use all that it may run on.",
        go: "the same",
        variable: c"GODEBUG",
        set: |o, v| set(&mut o.minds_quota, flag(v)),
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
        does: "1 lets goheap's tools see and steer the process: a page in /dev/shm, and a thread that sleeps. 0: neither, and no profiles by SIGUSR1 and at the process's end.",
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
        takes: "a path; %p is the process, %n is the next number that is free, %% is a percent sign",
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
    /// What holds without a value under the policy of Go 1.`go`.
    pub fn default_under(&self, go: u8) -> &'static str {
        match self.name {
            "GODEBUG=madvdontneed" if Policy::go(go).lazily => "0",
            "GOHEAP_LEAST_HEAP" if Rules::least_heap(go) == 0 => "0",
            "GOHEAP_TINY" if !Rules::tiny(go) => "0",
            "GOMAXPROCS" if Rules::processors(go) == 1 => "1",
            "GODEBUG=containermaxprocs" if !Rules::minds_quota(go) => "0",
            _ => self.default,
        }
    }
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
