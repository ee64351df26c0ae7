//! A test that runs a part of itself in a process of its own.
//!
//! What a test does to its process (ends it, limits it, sets its environment, counts what it
//! allocates) should not touch the tests beside it. So the test starts its own binary again,
//! told by a variable to run this test alone; there [`run`] carries out the body and exits.
#![allow(dead_code, reason = "each test binary uses its part of this")]

use std::io::{Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Set in the child.
const VARIABLE: &str = "GOHEAP_TEST_CHILD";
/// What the child says first. Without it, it was not this test that ran.
const GREETING: &str = "the child begins";
/// A child that hangs is a failure, not a hang of the whole run. Times the [`effort`].
const PATIENCE: Duration = Duration::from_secs(300);
/// How the names of the heap's knobs begin, which the tests' own environment must not turn.
const KNOBS: [&str; 5] = ["GOGC", "GOMEMLIMIT", "GOMAXPROCS", "GODEBUG", "GOHEAP_"];

/// How a child ended, and what it said.
pub struct Outcome {
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
}

impl Outcome {
    /// The outcome, if the child ran to its end; else fails with all that it said.
    #[track_caller]
    pub fn expect_success(self) -> Self {
        assert!(self.status.success(), "{self}");
        self
    }

    /// The outcome, if a signal ended the child; else fails with all that it said.
    #[track_caller]
    pub fn expect_signal(self, signal: i32) -> Self {
        assert_eq!(self.status.signal(), Some(signal), "{self}");
        self
    }

    /// What the child has [`report`]ed under a name.
    #[track_caller]
    pub fn reported(&self, name: &str) -> &str {
        let prefix = format!("{name}=");
        let mut lines = self.stdout.lines();
        match lines.find_map(|line| line.strip_prefix(&prefix)) {
            Some(value) => value,
            None => panic!("nothing reported as {name}: {self}"),
        }
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            status,
            stdout,
            stderr,
        } = self;
        write!(f, "{status}\n--- stdout\n{stdout}\n--- stderr\n{stderr}")
    }
}

/// How many times as much a test is to do, by `GOHEAP_TEST_EFFORT`.
pub fn effort() -> u32 {
    let text = std::env::var("GOHEAP_TEST_EFFORT");
    text.map_or(1, |effort| effort.parse().expect("a number"))
}

/// In the child: tells the parent a value.
pub fn report(name: &str, value: impl std::fmt::Display) {
    println!("{name}={value}");
}

/// Runs `body` in a child process. `test` is the test function that calls this, and calls it
/// with this one body only; `configure` may change how the child is started.
#[track_caller]
pub fn run<T: Fn()>(test: T, configure: impl FnOnce(&mut Command), body: impl FnOnce()) -> Outcome {
    let program = std::env::current_exe().expect("the path of this binary");
    run_copy(&program, test, configure, body)
}

/// The same in a copy of this binary.
#[track_caller]
pub fn run_copy<T: Fn()>(
    program: &Path,
    _test: T,
    configure: impl FnOnce(&mut Command),
    body: impl FnOnce(),
) -> Outcome {
    if std::env::var_os(VARIABLE).is_some() {
        println!("\n{GREETING}");
        body();
        std::io::stdout()
            .flush()
            .expect("stdout is a pipe to the parent");
        std::process::exit(0);
    }
    let path = std::any::type_name::<T>();
    let name = path.split_once("::").map_or(path, |(_binary, name)| name);
    let mut command = Command::new(program);
    command
        .args([name, "--exact", "--nocapture", "--test-threads=1"])
        .env(VARIABLE, "1")
        .stdin(Stdio::null());
    without_knobs(&mut command);
    without_core(&mut command);
    configure(&mut command);
    let outcome = wait(command);
    assert!(
        outcome.stdout.contains(GREETING),
        "{name} did not run in the child: {outcome}"
    );
    outcome
}

/// Copies this binary, or another, to start it from there; `false` if it cannot be. Another process does it: one that is forked
/// meanwhile would have the copy open for writing for a while, and what is open for writing cannot be started.
pub fn copied(from: &Path, to: &Path) -> bool {
    let copy = Command::new("cp").args([from, to]).status();
    copy.is_ok_and(|status| status.success())
}

/// A child whose heap has every knob at its default.
pub fn without_knobs(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        let is_knob = KNOBS.iter().any(|knob| text.starts_with(knob));
        if is_knob && !text.starts_with("GOHEAP_TEST_") {
            command.env_remove(&name);
        }
    }
}

/// A child that aborts on purpose leaves no core file.
pub fn without_core(command: &mut Command) {
    limit(command, libc::RLIMIT_CORE, 0);
}

/// Limits a resource of the child before it starts.
pub fn limit(command: &mut Command, resource: libc::__rlimit_resource_t, value: u64) {
    let both = libc::rlimit {
        rlim_cur: value,
        rlim_max: value,
    };
    // SAFETY: setrlimit is async-signal-safe, and the closure does nothing else after the fork.
    unsafe {
        command.pre_exec(move || match libc::setrlimit(resource, &both) {
            0 => Ok(()),
            _ => Err(std::io::Error::last_os_error()),
        });
    }
}

/// Starts it, its output piped, and waits for its end.
#[track_caller]
pub fn wait(mut command: Command) -> Outcome {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the child starts");
    let stdout = reader(child.stdout.take());
    let stderr = reader(child.stderr.take());
    let begun = Instant::now();
    let mut hung = false;
    let status = loop {
        match child.try_wait().expect("the child can be waited for") {
            Some(status) => break status,
            None if begun.elapsed() > PATIENCE * effort() && !hung => {
                hung = true;
                child.kill().expect("the child can be killed");
            }
            None => thread::sleep(Duration::from_millis(5)),
        }
    };
    let text = |reader: thread::JoinHandle<String>| reader.join().expect("the reader ends");
    let outcome = Outcome {
        status,
        stdout: text(stdout),
        stderr: text(stderr),
    };
    assert!(!hung, "the child hung: {outcome}");
    outcome
}

fn reader(pipe: Option<impl Read + Send + 'static>) -> thread::JoinHandle<String> {
    let mut pipe = pipe.expect("the child's output is piped");
    thread::spawn(move || {
        let mut bytes = Vec::new();
        pipe.read_to_end(&mut bytes)
            .expect("the child's output can be read");
        String::from_utf8_lossy(&bytes).into_owned()
    })
}
