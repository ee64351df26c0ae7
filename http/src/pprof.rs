//! `/debug/pprof/`: heap profiles as Go's `net/http/pprof` serves them, for `go tool pprof` and whoever else reads them.
//!
//! Source: Go 1.27, `net/http/pprof/pprof.go` (paths, parameters, refusals).

use std::time::Duration;

use goheap_stats::profile::{Samples, Shown};

use crate::Program;
use crate::answer::{Answer, Later, Site};
use crate::process;
use crate::request::Request;
use crate::response::Response;

const INDEX: &str = include_str!("pprof.html");
/// Profiles over some seconds at a time: each keeps what was sampled at its beginning.
const DELTAS: usize = 4;
/// The longest time for one.
const DAY: u64 = 86_400;

/// Answers for what stands behind `/debug/pprof/`.
pub fn answer(site: &Site, name: &str, request: &Request) -> Answer {
    let shown = match name {
        "" => return Answer::Now(Response::ok(crate::answer::HTML, INDEX)),
        "cmdline" => return Answer::Now(Response::text(process::command_line().join("\0"))),
        "heap" => Shown::InUse,
        "allocs" => Shown::Allocated,
        _ => {
            let why = format!("there is no profile {name:?} here: there are heap and allocs");
            return Answer::Now(Response::refusal(404, &why));
        }
    };
    let profile = Profile {
        name: name.to_owned(),
        shown,
        as_text: request.parameter("debug").is_some_and(|debug| debug != "0"),
    };
    match request.parameter("seconds") {
        Some(seconds) => profile.over(seconds, site),
        None => {
            let collects = request
                .parameter("gc")
                .is_some_and(|gc| gc.parse().is_ok_and(|gc: i64| gc > 0));
            if collects && name == "heap" {
                site.program.gc();
            }
            Answer::Later(Later {
                after: Duration::ZERO,
                then: Box::new(move |program| profile.written(&program.samples(), program, "")),
            })
        }
    }
}

/// What was asked for.
struct Profile {
    name: String,
    shown: Shown,
    as_text: bool,
}

impl Profile {
    /// What comes in the time from now on.
    fn over(self, seconds: &str, site: &Site) -> Answer {
        let refused = |status, why: &str| Answer::Now(Response::refusal(status, why));
        let Some(seconds) = seconds.parse().ok().filter(|s| (1..=DAY).contains(s)) else {
            let why = format!("seconds is to be a whole number from 1 to {DAY}, not {seconds:?}");
            return refused(400, &why);
        };
        if self.as_text {
            return refused(
                400,
                "a profile over some seconds is not to be had as text: seconds and debug exclude each other",
            );
        }
        if site.over_time.get() >= DELTAS {
            return refused(
                503,
                "four profiles over some seconds are under way; there may be no more",
            );
        }
        let before = site.program.samples();
        Answer::Later(Later {
            after: Duration::from_secs(seconds),
            then: Box::new(move |program| {
                let since = program.samples().since(&before);
                self.written(&since, program, "-delta")
            }),
        })
    }

    fn written(&self, samples: &Samples, program: &dyn Program, ending: &str) -> Response {
        let symbols = program.symbols(samples);
        let mut body = Vec::new();
        let (kind, result) = if self.as_text {
            let (stats, _) = program.counters();
            (
                "text/plain; charset=utf-8",
                samples.write_text(&symbols, &stats, process::most_resident(), &mut body),
            )
        } else {
            (
                "application/octet-stream",
                samples.write_pprof(&symbols, self.shown, &mut body),
            )
        };
        match result {
            Err(error) => Response::refusal(500, &error.to_string()),
            Ok(()) if self.as_text => Response::ok(kind, body),
            Ok(()) => {
                let name = format!("attachment; filename=\"{}{ending}\"", self.name);
                Response::ok(kind, body).with("Content-Disposition", name)
            }
        }
    }
}
