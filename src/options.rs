//! The knobs: one [table](KNOBS) that the parser, `--help` and the README are made from.
//!
//! Read once, from the environment, before the first allocation returns; nothing
//! here allocates. A bad value costs one line on standard error, and its default holds.

use core::ffi::CStr;
use core::fmt::Write;
use core::net::SocketAddr;
use goheap_allocator::os::{self, Line};
use goheap_scavenger::NEWEST;

mod table;
mod values;

pub use table::KNOBS;

/// One knob.
#[derive(Clone, Copy, Debug)]
pub struct Knob {
    /// The environment variable, or `GODEBUG=name` for a setting inside that variable.
    pub name: &'static str,
    /// What a value looks like.
    pub takes: &'static str,
    /// What holds without one, under the newest policy.
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
    /// That count as the process's; 0: those that it may use.
    pub processors: u32,
    /// A quota of its control group counts in what it may use.
    pub minds_quota: bool,
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
    /// Percent by which the background scavenger's goal is above what the heap is expected to need.
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
        processors: 0,
        minds_quota: true,
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
                // Writing to a line cannot fail: it cuts what does not fit.
                let _ = writeln!(
                    line,
                    "goheap: {}={shown} is not understood: it takes {}; using {}",
                    knob.name,
                    knob.takes,
                    knob.default_under(options.go)
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

#[cfg(test)]
mod tests;
