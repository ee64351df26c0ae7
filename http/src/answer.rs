//! What each path answers.

use std::cell::Cell;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use goheap_stats::PAGE_STYLE;

use crate::families::Families;
use crate::map::Map;
use crate::request::{Method, Request};
use crate::response::Response;
use crate::{Knob, Program, exposition, pprof, process, state};

const PAGE: &str = include_str!("page.html");
/// What stands in the page for [`PAGE_STYLE`].
const STYLE: &str = "/* the style of all pages */";
/// The page brings all it has, asks this server alone, and stands in no other page.
const PAGE_POLICY: &str = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; \
    img-src data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
pub const HTML: &str = "text/html; charset=utf-8";
const JSON: &str = "application/json; charset=utf-8";

/// What there is to be asked about.
pub struct Site {
    pub program: &'static dyn Program,
    /// Held by the thread that makes an answer: one at a time, for a profile's names may take much memory.
    pub at_work: Arc<Mutex<()>>,
    /// The address that the server was given.
    pub given: SocketAddr,
    /// How many are being answered over some time.
    pub over_time: Cell<usize>,
}

/// An answer, or what will be one.
pub enum Answer {
    Now(Response),
    Later(Later),
}

/// An answer that is made after some time, and takes some, in which others are served.
pub struct Later {
    pub after: Duration,
    /// Makes it, in a thread of its own.
    pub then: Box<Make>,
}

type Make = dyn FnOnce(&dyn Program) -> Response + Send;

/// The paths to be asked for by GET or HEAD, but for what stands behind `/debug/pprof/`.
const GET: [&str; 6] = [
    "/",
    "/metrics",
    "/debug/vars",
    "/debug/state",
    "/debug/map",
    "/debug/pprof",
];
/// Those by POST.
const POST: [&str; 3] = ["/debug/gc", "/debug/free", "/debug/set"];

impl Site {
    /// Answers a request.
    pub fn answer(&self, request: &Request) -> Answer {
        let get = request.method == Method::Get;
        let path = request.path.as_str();
        // Go's pprof asks here for what a profile has no names of. There are none but those in profiles.
        if path == "/debug/pprof/symbol" {
            return Answer::Now(Response::text("num_symbols: 0"));
        }
        if let Some(name) = path.strip_prefix("/debug/pprof/").filter(|_| get) {
            return pprof::answer(self, name, request);
        }
        let asked_for_by_get = GET.contains(&path) || path.starts_with("/debug/pprof/");
        Answer::Now(match (path, get) {
            ("/debug/pprof", true) => Response::moved("/debug/pprof/"),
            ("/", true) => Response::ok(HTML, PAGE.replacen(STYLE, PAGE_STYLE, 1))
                .with("Content-Security-Policy", PAGE_POLICY),
            ("/metrics", true) => self.metrics(request),
            ("/debug/vars", true) => self.vars(),
            ("/debug/state", true) => self.state(request),
            ("/debug/map", true) => self.map(),
            ("/debug/gc", false) => self.gc(),
            ("/debug/free", false) => self.free(),
            ("/debug/set", false) => self.set(request),
            (_, false) if asked_for_by_get => {
                Response::refusal(405, "this is to be asked for by GET").with("Allow", "GET, HEAD")
            }
            (_, true) if POST.contains(&path) => {
                Response::refusal(405, "this is to be asked for by POST").with("Allow", "POST")
            }
            _ => {
                let why = format!(
                    "there is nothing here; there are {}, /debug/pprof/heap, /debug/pprof/allocs, and by POST {}",
                    GET.join(", "),
                    POST.join(", ")
                );
                Response::refusal(404, &why)
            }
        })
    }

    fn metrics(&self, request: &Request) -> Response {
        let (stats, snapshot) = self.program.counters();
        let families = Families::of(self.program, &stats, &snapshot, &process::Facts::own());
        exposition::written(families, &request.accept)
    }

    /// Go: `expvar.Handler`, with the two variables that it has of itself.
    fn vars(&self) -> Response {
        let (stats, _) = self.program.counters();
        let vars = serde_json::json!({ "cmdline": process::command_line(), "memstats": stats });
        Response::ok(JSON, format!("{vars:#}\n"))
    }

    fn state(&self, request: &Request) -> Response {
        let since = request.parameter("since").and_then(|n| n.parse().ok());
        let (stats, snapshot) = self.program.counters();
        let state = state::State::of(&stats, &snapshot, since.unwrap_or(0));
        match serde_json::to_string(&state) {
            Ok(text) => Response::ok(JSON, text),
            Err(error) => Response::refusal(500, &error.to_string()),
        }
    }

    fn map(&self) -> Response {
        let (stats, _) = self.program.counters();
        let mut map = Map::new(stats.heap_sys);
        self.program.map(&mut |run| map.add(run));
        match serde_json::to_string(&map) {
            Ok(text) => Response::ok(JSON, text),
            Err(error) => Response::refusal(500, &error.to_string()),
        }
    }

    fn gc(&self) -> Response {
        let (before, _) = self.program.counters();
        self.program.gc();
        let (after, _) = self.program.counters();
        Response::text(format!(
            "cycle {}: {} bytes of objects before, {} after",
            after.num_gc, before.heap_alloc, after.heap_alloc
        ))
    }

    fn free(&self) -> Response {
        let (_, before) = self.program.counters();
        self.program.free_os_memory();
        let (_, after) = self.program.counters();
        let released = after.released_ever.saturating_sub(before.released_ever);
        Response::text(format!("{released} bytes went back to the system"))
    }

    /// `gogc` and `memlimit`, both or one. All are understood before any is set.
    fn set(&self, request: &Request) -> Response {
        let mut settings = Vec::new();
        for (name, value) in request.parameters() {
            match name {
                "gogc" => settings.push((Knob::Gogc, value)),
                "memlimit" => settings.push((Knob::Memlimit, value)),
                _ => settings.clear(),
            }
        }
        if settings.len() != request.parameters().count() || settings.is_empty() {
            let why = "what to set stands in the query: gogc=50, memlimit=512MiB, or both";
            return Response::refusal(400, why);
        }
        for &(knob, value) in &settings {
            if let Err(takes) = self.program.check(knob, value) {
                let why = format!(
                    "{}={value} is not understood: it takes {takes}",
                    knob.name()
                );
                return Response::refusal(400, &why);
            }
        }
        let mut said = Vec::new();
        for (knob, value) in settings {
            self.program.set(knob, value);
            said.push(format!("{}={value}", knob.name()));
        }
        Response::text(said.join(" "))
    }
}
