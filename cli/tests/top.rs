//! `goheap top` in a terminal: the screen shows the programs, and keys steer it.

#[path = "support/observed.rs"]
mod observed;
mod support;

use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use observed::{Observed, refusal, stats};
use support::text;

/// A terminal of its own server, which goes with this.
struct Terminal {
    socket: String,
}

impl Terminal {
    /// Runs `goheap top` in it; `None` without tmux.
    fn with_top(name: &str, arguments: &str) -> Option<Self> {
        let terminal = Self {
            socket: format!("goheap-test-{name}-{}", std::process::id()),
        };
        let command = format!(
            "env -u NO_COLOR {} top --every 50 {arguments}; echo ended with $?; sleep 60",
            env!("CARGO_BIN_EXE_goheap")
        );
        let arguments = ["new-session", "-d", "-x", "120", "-y", "40", &command];
        if !terminal.tmux(&arguments)?.0 {
            return None;
        }
        Some(terminal)
    }

    fn tmux(&self, arguments: &[&str]) -> Option<(bool, String)> {
        let run = Command::new("tmux")
            .args(["-L", &self.socket, "-f", "/dev/null"])
            .args(arguments)
            .output();
        match run {
            Ok(output) => Some((output.status.success(), text(&output.stdout))),
            Err(_) => {
                eprintln!("skipped: there is no tmux");
                None
            }
        }
    }

    fn press(&self, key: &str) {
        self.tmux(&["send-keys", key]);
    }

    /// The screen, once it has all of this on it.
    #[track_caller]
    fn shows(&self, parts: &[&str]) -> String {
        let begun = Instant::now();
        loop {
            let screen = self
                .tmux(&["capture-pane", "-p"])
                .map_or(String::new(), |(_, screen)| screen);
            if parts.iter().all(|part| screen.contains(part)) {
                return screen;
            }
            assert!(
                begun.elapsed() < Duration::from_secs(60),
                "{parts:?}: {screen}"
            );
            sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.tmux(&["kill-server"]);
    }
}

#[test]
fn a_program_is_watched_and_steered() {
    let Some(mut program) = Observed::start() else {
        return;
    };
    program.tell("alloc 0 20000 1000");
    let pid = program.pid().to_string();
    let Some(terminal) = Terminal::with_top("program", &pid) else {
        return;
    };
    let title = format!("p ({pid})");
    terminal.shows(&[
        &title,
        "RSS",
        "live at the last cycle",
        "GOGC=100",
        "1024",
        "█",
        "▀",
    ]);
    terminal.press("g");
    terminal.shows(&["(1 asked for)"]);
    assert_eq!(stats(program.pid())["MemStats"]["NumForcedGC"], 1);
    terminal.press("f");
    terminal.shows(&["(2 asked for)"]);
    terminal.press("Escape");
    terminal.shows(&["on goheap", "PID", "RELEASED"]);
    terminal.press("q");
    terminal.shows(&["ended with 0"]);
}

#[test]
fn the_list_has_the_programs_that_run() {
    let Some(program) = Observed::start() else {
        return;
    };
    let pid = program.pid().to_string();
    let Some(terminal) = Terminal::with_top("list", "") else {
        return;
    };
    terminal.shows(&[&pid, "CYCLES"]);
    drop(program);
    let begun = Instant::now();
    while terminal.shows(&["CYCLES"]).contains(&pid) {
        assert!(begun.elapsed() < Duration::from_secs(60), "it has ended");
        sleep(Duration::from_millis(20));
    }
    terminal.press("q");
    terminal.shows(&["ended with 0"]);
}

#[test]
fn without_a_terminal_it_says_so() {
    assert!(refusal(&["top"]).contains("there is no terminal"));
}

#[test]
fn a_signal_ends_it_with_the_terminal_put_right() {
    let Some(terminal) = Terminal::with_top("signal", "") else {
        return;
    };
    terminal.shows(&["CYCLES"]);
    let (_, pane) = terminal.tmux(&["display", "-p", "#{pane_pid}"]).unwrap();
    let children = format!("/proc/{0}/task/{0}/children", pane.trim());
    let top = std::fs::read_to_string(children).unwrap();
    let top = top.trim().parse().expect("the shell has one child");
    // SAFETY: two numbers.
    assert_eq!(unsafe { libc::kill(top, libc::SIGTERM) }, 0);
    let screen = terminal.shows(&[&format!("ended with {}", 128 + libc::SIGTERM)]);
    assert!(!screen.contains("CYCLES"), "{screen}");
}
