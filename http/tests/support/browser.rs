//! A real Chromium without a window, told what to do over a pipe (Chrome's DevTools protocol).

use std::fs::File;
use std::io::{BufRead, BufReader, PipeReader, PipeWriter, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

/// Where the browser reads its messages, and where it writes its own: the protocol's numbers.
const READS: i32 = 3;
const WRITES: i32 = 4;

/// A browser with one page open.
pub struct Browser {
    process: Child,
    to: PipeWriter,
    from: BufReader<PipeReader>,
    messages: u64,
    session: Option<String>,
    profile: PathBuf,
}

impl Browser {
    /// Starts it; `None`, with the reason printed, if none is installed.
    pub fn start(dark: bool) -> Option<Self> {
        let names = ["chromium", "chromium-browser", "google-chrome"];
        let folders = std::env::var_os("PATH").unwrap_or_default();
        let mut places =
            std::env::split_paths(&folders).flat_map(|folder| names.map(|name| folder.join(name)));
        let Some(program) = places.find(|path| path.is_file()) else {
            println!("skipped: no Chromium is installed");
            return None;
        };
        let profile =
            std::env::temp_dir().join(format!("goheap-browser-{}-{dark}", std::process::id()));
        let (reads, to) = std::io::pipe().expect("a pipe");
        let (from, writes) = std::io::pipe().expect("a pipe");
        // Beyond the two numbers that they are to have, so that neither takes the other's place.
        let (reads, writes) = (high(reads.into()), high(writes.into()));
        let mut command = Command::new(program);
        command
            .args([
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--remote-debugging-pipe",
            ])
            .args([
                "--no-first-run",
                "--disable-background-networking",
                "--window-size=1200,1500",
            ])
            .arg(format!("--user-data-dir={}", profile.display()))
            .args(dark.then_some("--blink-settings=preferredColorScheme=0"))
            .arg("about:blank")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let (reads_number, writes_number) = (reads.as_raw_fd(), writes.as_raw_fd());
        // SAFETY: dup2 is async-signal-safe, and all that is called after the fork.
        unsafe {
            command.pre_exec(move || {
                let numbers = [(reads_number, READS), (writes_number, WRITES)];
                match numbers
                    .iter()
                    .all(|&(own, number)| libc::dup2(own, number) == number)
                {
                    true => Ok(()),
                    false => Err(std::io::Error::last_os_error()),
                }
            });
        }
        let process = command.spawn().expect("the browser starts");
        Some(Self {
            process,
            to,
            from: BufReader::new(from),
            messages: 0,
            session: None,
            profile,
        })
    }

    /// Sends a command, and returns its result, or the browser's refusal.
    #[track_caller]
    fn ask(&mut self, method: &str, parameters: Value) -> Result<Value, Value> {
        self.messages += 1;
        let mut message = json!({ "id": self.messages, "method": method, "params": parameters });
        if let Some(session) = &self.session {
            message["sessionId"] = json!(session);
        }
        write!(self.to, "{message}\0").expect("the browser listens");
        loop {
            let mut answer = Vec::new();
            self.from
                .read_until(0, &mut answer)
                .expect("the browser answers");
            assert_eq!(answer.pop(), Some(0), "the browser ended");
            let mut answer: Value = serde_json::from_slice(&answer).expect("JSON");
            // Other messages are events.
            if answer["id"] == self.messages {
                return match answer["error"].take() {
                    Value::Null => Ok(answer["result"].take()),
                    error => Err(error),
                };
            }
        }
    }

    /// Opens a page.
    #[track_caller]
    pub fn open(&mut self, address: &str) {
        let target = self
            .ask("Target.createTarget", json!({ "url": address }))
            .expect("a page");
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        let attached = self
            .ask("Target.attachToTarget", attach)
            .expect("a session");
        self.session = attached["sessionId"].as_str().map(str::to_owned);
    }

    /// What an expression is in the page.
    #[track_caller]
    pub fn evaluate(&mut self, expression: &str) -> Value {
        match self.try_to(expression) {
            Ok(value) => value,
            Err(error) => panic!("{expression}: {error}"),
        }
    }

    #[track_caller]
    fn try_to(&mut self, expression: &str) -> Result<Value, Value> {
        let parameters = json!({ "expression": expression, "returnByValue": true });
        let mut answer = self.ask("Runtime.evaluate", parameters)?;
        match answer["exceptionDetails"].take() {
            Value::Null => Ok(answer["result"]["value"].take()),
            exception => Err(exception),
        }
    }

    /// Waits until an expression is true in the page, which may be on its way yet.
    #[track_caller]
    pub fn wait_for(&mut self, expression: &str) {
        for _ in 0..600 {
            if self.try_to(expression) == Ok(Value::Bool(true)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        let shown = self.try_to("document.body.innerText");
        panic!("in vain for {expression}: {shown:?}");
    }

    /// A picture of the page, as a PNG in base 64.
    pub fn picture(&mut self) -> String {
        let parameters = json!({ "format": "png", "captureBeyondViewport": true });
        let picture = self
            .ask("Page.captureScreenshot", parameters)
            .expect("a picture");
        picture["data"].as_str().unwrap_or_default().to_owned()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = std::fs::remove_dir_all(&self.profile);
    }
}

/// The same file under a number of at least 10.
fn high(file: OwnedFd) -> File {
    // SAFETY: the number is open; the new one is nobody's.
    unsafe {
        use std::os::fd::FromRawFd;
        let number = libc::fcntl(file.as_raw_fd(), libc::F_DUPFD_CLOEXEC, 10);
        assert!(number >= 0, "{}", std::io::Error::last_os_error());
        File::from_raw_fd(number)
    }
}
