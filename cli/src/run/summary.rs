//! A run in figures: `summary.json`.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::ExitStatusExt;
use std::process::Command;
use std::time::UNIX_EPOCH;

use goheap::options::{KNOBS, Knob, Options, set_one};
use serde::Serialize;

use super::children::Child;
use super::explained::Explained;
use super::timeline::{Peaks, Row};
use super::watch::Watched;
use crate::figures::Figures;
use crate::stats::{Aims, Class, classes};
use crate::{Error, amount, output};

/// A run. Sizes in bytes, times in seconds.
#[derive(Serialize)]
pub struct Summary {
    /// This program's version.
    pub goheap: &'static str,
    /// The program and its arguments.
    pub program: Vec<String>,
    /// Its process.
    pub pid: u32,
    /// When it was started, since 1970.
    pub started: f64,
    /// How long it ran.
    pub seconds: f64,
    /// Its exit code; none if a signal ended it.
    pub exit_code: Option<i32>,
    /// The signal that ended it.
    pub exit_signal: Option<i32>,
    /// Rows of `timeline.csv`.
    pub looks: usize,
    /// The largest figures seen.
    pub peaks: Peaks,
    /// The knobs as the program was started with them.
    pub knobs: Vec<InForce>,
    /// The last row of `timeline.csv`.
    pub last: Option<Row>,
    /// What the pacer knew and aimed at then.
    pub aims: Option<Aims>,
    /// Go's counters then.
    pub mem_stats: Option<Figures>,
    /// Why memory was resident, the highest and the last time that this was asked.
    pub explained: Explained,
    /// How many programs it started, and these did.
    pub programs_started: usize,
    /// These, the largest first, up to 10,000.
    pub children: Vec<Child>,
    /// The size classes then.
    pub classes: Vec<Class>,
}

/// A knob, and what holds for it.
#[derive(Clone, Serialize)]
pub struct InForce {
    /// The environment variable, or `GODEBUG=name`.
    pub name: &'static str,
    /// Its value.
    pub value: String,
    /// The value that holds where none is given, under the policy in force.
    pub default: &'static str,
    /// What it does.
    pub does: &'static str,
}

/// What holds for each knob in the command's environment. A value that the heap does not understand
/// leaves the default.
pub fn knobs_in_force(command: &Command) -> Vec<InForce> {
    let variable = |name: &str| -> Option<OsString> {
        let set = command.get_envs().find(|(set, _)| *set == OsStr::new(name));
        match set {
            Some((_, value)) => value.map(OsStr::to_owned),
            None => std::env::var_os(name),
        }
    };
    let in_force = |knob: &Knob| {
        let name = knob.name.split('=').next().unwrap_or(knob.name);
        let text = variable(name)?;
        let value = knob.value_in(text.as_bytes())?;
        Some(String::from_utf8_lossy(value).into_owned())
    };
    let policy = KNOBS
        .iter()
        .find(|knob| knob.name == "GOHEAP_POLICY")
        .and_then(in_force)
        .and_then(|value| set_one("GOHEAP_POLICY", value.as_bytes()).ok())
        .unwrap_or(Options::DEFAULT);
    KNOBS
        .iter()
        .map(|knob| {
            let default = knob.default_under(policy.go);
            InForce {
                name: knob.name,
                value: in_force(knob).unwrap_or_else(|| default.into()),
                default,
                does: knob.does,
            }
        })
        .collect()
}

impl Summary {
    /// The program's name without its folder.
    pub fn name(&self) -> &str {
        let path = self.program.first().map_or("", String::as_str);
        path.rsplit('/').next().unwrap_or(path)
    }

    /// Of a program that has run.
    pub fn of(
        command: &[OsString],
        knobs: Vec<InForce>,
        watched: &Watched,
        (programs_started, children): (usize, Vec<Child>),
    ) -> Self {
        let last = watched.timeline.last();
        let words = command
            .iter()
            .map(|word| word.to_string_lossy().into_owned());
        Self {
            goheap: env!("CARGO_PKG_VERSION"),
            program: words.collect(),
            pid: watched.started.pid(),
            started: watched
                .begun
                .duration_since(UNIX_EPOCH)
                .map_or(0.0, |since| since.as_secs_f64()),
            seconds: watched.took.as_secs_f64(),
            exit_code: watched.status.code(),
            exit_signal: watched.status.signal(),
            looks: watched.timeline.rows.count,
            peaks: watched.timeline.peaks,
            knobs,
            last: last.map(|(row, _)| *row),
            aims: last.map(|(_, snapshot)| Aims::of(snapshot)),
            mem_stats: last.map(|(_, snapshot)| Figures::from(&snapshot.mem_stats())),
            explained: watched.explained.clone(),
            programs_started,
            children,
            classes: last.map_or(Vec::new(), |(_, snapshot)| classes(snapshot)),
        }
    }

    /// As JSON.
    pub fn json(&self) -> Result<String, Error> {
        Ok(output::json(self)? + "\n")
    }

    /// How the program ended, in words.
    pub fn ended(&self) -> String {
        match (self.exit_code, self.exit_signal) {
            (Some(code), _) => format!("exit code {code}"),
            (None, Some(signal)) => format!("ended by signal {signal}"),
            (None, None) => "ended".into(),
        }
    }

    /// All of it in a line.
    pub fn in_short(&self) -> String {
        let cycles = self.last.map_or(0, |row| row.cycles);
        let mut words = format!(
            "{} after {:.1} s; RSS at most {}, {cycles} cycles",
            self.ended(),
            self.seconds,
            amount::bytes(self.peaks.rss),
        );
        if let Some(largest) = self.children.first() {
            words += &format!(
                "; {} program{} started",
                self.programs_started,
                if self.programs_started == 1 { "" } else { "s" }
            );
            if let Some(rss) = largest.peak_rss {
                words += &format!(
                    ", the largest {}, RSS at most {}",
                    largest.program,
                    amount::bytes(rss)
                );
            }
        }
        words
    }
}
