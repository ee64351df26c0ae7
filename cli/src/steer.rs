//! `goheap gc`, `goheap free`, `goheap set`: has a running program do what Go's `runtime.GC`,
//! `debug.FreeOSMemory`, `debug.SetGCPercent` and `debug.SetMemoryLimit` do.

use goheap::options::Options as Knobs;
use goheap_stats::shared_page::Command;

use crate::observe::{self, Program};
use crate::output::print;
use crate::{Error, amount};

/// Run a whole cycle in a running program, as Go's runtime.GC.
#[derive(clap::Args)]
pub struct Gc {
    /// The process.
    pid: u32,
}

/// Run a cycle in a running program and give all its idle memory back, as Go's debug.FreeOSMemory.
#[derive(clap::Args)]
pub struct Free {
    /// The process.
    pid: u32,
}

/// Change GOGC and GOMEMLIMIT of a running program, as Go's debug.SetGCPercent and SetMemoryLimit.
#[derive(clap::Args)]
pub struct Set {
    /// The process.
    pid: u32,
    /// gogc=PERCENT or gogc=off; memlimit=SIZE (1GiB, 512MiB, 1000000) or memlimit=off.
    #[arg(required = true, value_name = "SETTING", value_parser = setting)]
    settings: Vec<Setting>,
}

/// One setting, in the heap's units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Setting {
    GcPercent(i32),
    MemoryLimit(i64),
}

/// Reads `gogc=50`: the values are those of the environment's GOGC and GOMEMLIMIT.
fn setting(text: &str) -> Result<Setting, String> {
    let (name, value) = text
        .split_once('=')
        .ok_or("it takes gogc=PERCENT or memlimit=SIZE")?;
    match name.to_ascii_lowercase().as_str() {
        "gogc" => knob("GOGC", value).map(|knobs| Setting::GcPercent(knobs.gc_percent)),
        "memlimit" | "gomemlimit" => {
            knob("GOMEMLIMIT", value).map(|knobs| Setting::MemoryLimit(knobs.memory_limit))
        }
        _ => Err(format!(
            "there is no setting {name}: it takes gogc or memlimit"
        )),
    }
}

/// The options that the environment would make of a knob's value.
pub fn knob(name: &str, value: &str) -> Result<Knobs, String> {
    goheap::options::set_one(name, value.as_bytes()).map_err(|takes| format!("it takes {takes}"))
}

/// Collects, and says what that did.
pub fn gc(options: &Gc) -> Result<(), Error> {
    let program = observe::open(options.pid)?;
    let before = program.page.ask(Command::Look)?;
    let after = program.page.ask(Command::Gc)?;
    print(format_args!(
        "cycle {}: {} of objects before, {} after; {} in spans before, {} after",
        after.num_gc,
        amount::bytes(before.heap_alloc),
        amount::bytes(after.heap_alloc),
        amount::bytes(before.heap_inuse),
        amount::bytes(after.heap_inuse),
    ))
}

/// Gives memory back, and says how much.
pub fn free(options: &Free) -> Result<(), Error> {
    let Program { facts, page } = observe::open(options.pid)?;
    let before = page.ask(Command::Look)?;
    let after = page.ask(Command::FreeOsMemory)?;
    let rss = observe::facts(options.pid).map_or(after.rss, |facts| facts.rss);
    print(format_args!(
        "{} went back to the system; RSS {} before, {} after",
        amount::bytes(after.released_ever.saturating_sub(before.released_ever)),
        amount::bytes(facts.rss),
        amount::bytes(rss),
    ))
}

/// Sets, and says what held before and what does now.
pub fn set(options: &Set) -> Result<(), Error> {
    let program = observe::open(options.pid)?;
    let before = program.page.ask(Command::Look)?;
    let (mut gc_percent, mut memory_limit) = (None, None);
    for setting in &options.settings {
        match *setting {
            Setting::GcPercent(percent) => gc_percent = Some(percent),
            Setting::MemoryLimit(bytes) => memory_limit = Some(bytes),
        }
    }
    let after = program.page.ask(Command::Set {
        gc_percent,
        memory_limit,
    })?;
    let mut said = Vec::new();
    if gc_percent.is_some() {
        let [old, new] = [&before, &after].map(|snapshot| amount::percent(snapshot.gc_percent));
        said.push(format!("GOGC was {old}, is {new}"));
    }
    if memory_limit.is_some() {
        let [old, new] = [&before, &after].map(|snapshot| amount::limit(snapshot.memory_limit));
        said.push(format!("GOMEMLIMIT was {old}, is {new}"));
    }
    said.push(format!("the goal is {}", amount::goal(after.next_gc)));
    print(said.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_written_as_go_writes_them() {
        assert_eq!(setting("gogc=50"), Ok(Setting::GcPercent(50)));
        assert_eq!(setting("GOGC=off"), Ok(Setting::GcPercent(-1)));
        assert_eq!(setting("memlimit=1GiB"), Ok(Setting::MemoryLimit(1 << 30)));
        assert_eq!(setting("memlimit=off"), Ok(Setting::MemoryLimit(i64::MAX)));
    }

    #[test]
    fn what_is_wrong_with_a_setting_is_said() {
        for (text, part) in [
            ("gogc", "gogc=PERCENT"),
            ("gogc=half", "percent from 0"),
            ("memlimit=1GB", "MiB"),
            ("memlimit=", "MiB"),
            ("limit=1", "no setting limit"),
        ] {
            let said = setting(text).unwrap_err();
            assert!(said.contains(part), "{text}: {said}");
        }
    }
}
