//! Programs that run on the preload library while a test looks at them.
#![allow(dead_code, reason = "each test binary uses its part of this")]

use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Output, Stdio};
use std::sync::OnceLock;

use goheap_cli::preload;
use serde_json::Value;
use tempfile::TempDir;

use crate::support::{goheap, text, without_knobs};

/// A C program that does what it reads, a command a line, and says `ok` after each.
const SOURCE: &str = r#"
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void *blocks[1 << 20];
static char **arguments;
static pthread_t first;

static void *take_over(void *);

static int obey(void) {
    char line[256], word[64];
    puts("ok");
    while (fgets(line, sizeof line, stdin)) {
        long from = 0, to = 0, size = 0;
        word[0] = 0;
        sscanf(line, "%63s %ld %ld %ld", word, &from, &to, &size);
        if (!strcmp(word, "alloc"))
            for (long i = from; i < to; i++) memset(blocks[i] = malloc(size), 1, size);
        else if (!strcmp(word, "free"))
            for (long i = from; i < to; i++) free(blocks[i]);
        else if (!strcmp(word, "thin")) {
            for (long i = from; i < to; i++)
                if (i % size) free(blocks[i]);
        }
        else if (!strcmp(word, "fork")) {
            pid_t child = fork();
            if (child == 0) {
                for (int i = 0; i < 1000; i++) blocks[i] = malloc(100);
                pause();
            }
            printf("%d\n", child);
        } else if (!strcmp(word, "exec"))
            execl(arguments[0], arguments[0], NULL);
        else if (!strcmp(word, "sleep")) {
            unsetenv("LD_PRELOAD");
            execl("/bin/sleep", "sleep", "100", NULL);
        }
        else if (!strcmp(word, "leave")) {
            pthread_t other;
            first = pthread_self();
            pthread_create(&other, NULL, take_over, NULL);
            pthread_exit(NULL);
        }
        else if (!strcmp(word, "nap"))
            usleep(from * 1000);
        else if (!strcmp(word, "close"))
            for (int i = 3; i < 1024; i++) close(i);
        else if (!strcmp(word, "descriptors")) {
            int n = 0;
            for (int i = 3; i < 1024; i++) n += fcntl(i, F_GETFD) != -1;
            printf("%d\n", n);
        } else if (!strcmp(word, "_exit"))
            _exit((int)from);
        else if (!strcmp(word, "exit"))
            exit((int)from);
        puts("ok");
    }
    return 0;
}

static void *take_over(void *nothing) {
    pthread_join(first, NULL);
    usleep(10000);
    exit(obey());
}

int main(int argc, char **argv) {
    arguments = argv;
    setvbuf(stdout, NULL, _IONBF, 0);
    blocks[0] = malloc(100);
    return obey();
}
"#;

/// The program above, compiled once for all tests of a binary; `None` without a C compiler.
pub fn program() -> Option<PathBuf> {
    static BUILT: OnceLock<Option<(TempDir, PathBuf)>> = OnceLock::new();
    let built = BUILT.get_or_init(|| {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        // Others than who runs the tests start it, too.
        let open = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(folder.path(), open).expect("a folder's mode can be set");
        let (source, program) = (folder.path().join("p.c"), folder.path().join("p"));
        std::fs::write(&source, SOURCE).expect("a temporary file can be written");
        let compiler = Command::new("cc")
            .args(["-O1", "-pthread", "-o"])
            .args([&program, &source])
            .status();
        match compiler {
            Ok(status) if status.success() => Some((folder, program)),
            _ => None,
        }
    });
    if built.is_none() {
        eprintln!("skipped: there is no C compiler (cc)");
    }
    built.as_ref().map(|(_, program)| program.clone())
}

/// The program running on the library.
pub struct Observed {
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
}

impl Observed {
    /// Starts it; `None` without a C compiler.
    pub fn start() -> Option<Self> {
        Self::start_with(|_| {})
    }

    /// Starts it from a command that `configure` has changed.
    pub fn start_with(configure: impl FnOnce(&mut Command)) -> Option<Self> {
        let mut command = preload::command(program()?, [""; 0]).expect("the library was built");
        without_knobs(&mut command);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        configure(&mut command);
        let mut child = command.spawn().expect("the program starts");
        let to = child.stdin.take().expect("a pipe");
        let from = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut observed = Self { child, to, from };
        assert_eq!(observed.line(), "ok");
        Some(observed)
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Has it do something, and waits until that is done; returns what it said.
    pub fn tell(&mut self, command: &str) -> Vec<String> {
        self.send(command);
        let mut said = Vec::new();
        loop {
            match self.line().as_str() {
                "ok" => return said,
                line => said.push(line.to_owned()),
            }
        }
    }

    /// Has it do something from which it does not come back.
    pub fn send(&mut self, command: &str) {
        writeln!(self.to, "{command}").expect("the program reads");
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        let read = self.from.read_line(&mut line).expect("the program writes");
        assert!(read > 0, "the program has ended");
        line.trim_end().to_owned()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: i32) {
        signal_to(self.pid(), signal);
    }

    /// Waits for its end.
    pub fn wait(&mut self) -> std::process::ExitStatus {
        self.child.wait().expect("the program can be waited for")
    }
}

impl Drop for Observed {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends a process a signal.
pub fn signal_to(pid: u32, signal: i32) {
    let pid = i32::try_from(pid).expect("a PID");
    // SAFETY: takes two numbers; the process is one that a test has started.
    assert_eq!(unsafe { libc::kill(pid, signal) }, 0);
}

/// `goheap` with these arguments, run to its end.
pub fn tool(arguments: &[&str]) -> Output {
    goheap()
        .args(arguments)
        .output()
        .expect("the program starts")
}

/// What `goheap stats --json` says of a process.
#[track_caller]
pub fn stats(pid: u32) -> Value {
    let output = tool(&["stats", &pid.to_string(), "--json"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// What a tool that refuses says, after checking that it is one line and the exit code 1.
#[track_caller]
pub fn refusal(arguments: &[&str]) -> String {
    let output = tool(arguments);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    said
}

/// The pages of a process that are in /dev/shm.
pub fn pages(pid: u32) -> Vec<PathBuf> {
    let part = format!("-{pid}-");
    let entries = std::fs::read_dir("/dev/shm")
        .into_iter()
        .flatten()
        .flatten();
    entries
        .filter(|entry| {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            name.starts_with("goheap-") && name.contains(&part)
        })
        .map(|entry| entry.path())
        .collect()
}
