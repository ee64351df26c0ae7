//! A client, from its first byte to its last: one request, one answer, and the connection is over.
//!
//! ```text
//! Reading ──▶ (Waiting, for an answer over some seconds ──▶ Making, in another thread) ──▶ Writing ──▶ Lingering
//! ```
//! Each state has its deadline, which no trickle of bytes puts off for good. Nothing here blocks.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::sync::{Arc, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::PollFlags;

use crate::answer::{Answer, Later, Site};
use crate::request::{self, HEAD_LIMIT};
use crate::response::Response;

/// For the whole head of a request.
const READING: Duration = Duration::from_secs(5);
/// For the whole of an answer.
const WRITING: Duration = Duration::from_secs(60);
/// For the client to take the end: were the socket closed over bytes that it sent and nobody read, the
/// system would tell it to forget the answer.
const LINGERING: Duration = Duration::from_secs(1);
/// A client that has not taken a byte of its answer for this long may be left for another.
const STALLED: Duration = Duration::from_secs(1);
/// How often it is looked whether an answer is made.
const LOOK: Duration = Duration::from_millis(5);
/// Answers that are being made at a time, each by a thread that others wait for: those that nobody waits for any more, too.
const MAKING: usize = 8;
/// Bytes of stack for making one: reading debug information, for a profile's functions, goes deep.
const STACK: usize = 8 << 20;
/// Bytes of what a client sends beyond its request that are thrown away for it.
const THROWN_AWAY: usize = 1 << 20;

enum State {
    /// What there is of the request's head.
    Reading(Vec<u8>),
    Waiting(Later),
    Making(Receiver<Response>),
    Writing {
        bytes: Vec<u8>,
        written: usize,
    },
    Lingering {
        thrown_away: usize,
    },
}

/// One client.
pub struct Connection {
    stream: TcpStream,
    state: State,
    deadline: Instant,
    /// When it last got on.
    moved: Instant,
    /// Only the head of the answer is asked for.
    without_body: bool,
}

impl Connection {
    /// A client that was just accepted.
    pub fn new(stream: TcpStream, now: Instant) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        Ok(Self {
            stream,
            state: State::Reading(Vec::new()),
            deadline: now + READING,
            moved: now,
            without_body: false,
        })
    }

    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// By when it is to be looked at, whether or not its client does anything.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// What of its client it waits for.
    pub fn interest(&self) -> PollFlags {
        match self.state {
            State::Writing { .. } => PollFlags::OUT,
            State::Waiting(_) | State::Making(_) => PollFlags::RDHUP,
            State::Reading(_) | State::Lingering { .. } => PollFlags::IN,
        }
    }

    /// Whether it is answered for some time that it asked for.
    pub fn is_over_time(&self) -> bool {
        matches!(self.state, State::Waiting(_))
    }

    /// Whether its answer is yet to come.
    fn is_waiting(&self) -> bool {
        matches!(self.state, State::Waiting(_) | State::Making(_))
    }

    /// Since when it waits for its client, if it does: not while it owes that an answer that takes time.
    pub fn waits_since(&self, now: Instant) -> Option<Instant> {
        let waits = match self.state {
            State::Reading(_) | State::Lingering { .. } => true,
            State::Writing { .. } => now >= self.moved + STALLED,
            State::Waiting(_) | State::Making(_) => false,
        };
        waits.then_some(self.moved)
    }

    /// Goes on as far as it can; `false`: it is over.
    pub fn step(&mut self, ready: PollFlags, now: Instant, site: &Site) -> bool {
        if self.is_waiting() {
            // All that its client can have said is that it is gone.
            return ready.is_empty() && (now < self.deadline || self.answer_late(now, site));
        }
        if now >= self.deadline {
            return false;
        }
        if ready.is_empty() {
            return true;
        }
        let result = match self.state {
            State::Reading(_) => self.read(now, site),
            State::Writing { .. } => self.write(now),
            State::Lingering { .. } => self.linger(),
            State::Waiting(_) | State::Making(_) => Ok(true),
        };
        match result {
            Ok(goes_on) => goes_on,
            Err(error) => matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted),
        }
    }

    fn read(&mut self, now: Instant, site: &Site) -> io::Result<bool> {
        let State::Reading(head) = &mut self.state else {
            return Ok(true);
        };
        let mut some = [0; 2048];
        let n = self.stream.read(&mut some)?;
        if n == 0 {
            return Ok(false);
        }
        head.extend_from_slice(&some[..n]);
        let response = match request::read(head, site.given) {
            Ok(None) if head.len() < HEAD_LIMIT => return Ok(true),
            Ok(None) => Response::refusal(431, "the request's head is longer than 8 KiB"),
            Err(refusal) => refusal,
            Ok(Some(request)) => {
                self.without_body = request.without_body;
                match site.answer(&request) {
                    Answer::Now(response) => response,
                    Answer::Later(later) if later.after.is_zero() => {
                        if being_made(site) < MAKING {
                            self.deadline = now + LOOK;
                            self.state = State::Making(made_apart(later, site));
                            return Ok(true);
                        }
                        Response::refusal(503, "too many profiles are being made; ask again later")
                    }
                    Answer::Later(later) => {
                        site.over_time.set(site.over_time.get() + 1);
                        self.deadline = now + later.after;
                        self.state = State::Waiting(later);
                        return Ok(true);
                    }
                }
            }
        };
        self.begin_to_write(response, now)
    }

    fn answer_late(&mut self, now: Instant, site: &Site) -> bool {
        let state = std::mem::replace(&mut self.state, State::Reading(Vec::new()));
        let making = match state {
            State::Waiting(later) => made_apart(later, site),
            State::Making(making) => making,
            _ => return false,
        };
        let response = match making.try_recv() {
            Ok(response) => response,
            Err(TryRecvError::Empty) => {
                self.deadline = now + LOOK;
                self.state = State::Making(making);
                return true;
            }
            Err(TryRecvError::Disconnected) => Response::refusal(500, "the answer cannot be made"),
        };
        match self.begin_to_write(response, now) {
            Ok(goes_on) => goes_on,
            Err(error) => error.kind() == ErrorKind::WouldBlock,
        }
    }

    fn begin_to_write(&mut self, response: Response, now: Instant) -> io::Result<bool> {
        let response = match self.without_body {
            true => response.without_body(),
            false => response,
        };
        self.state = State::Writing {
            bytes: response.bytes(),
            written: 0,
        };
        // An answer may take a while to be made, which is not its client's time.
        let now = now.max(Instant::now());
        self.deadline = now + WRITING;
        self.moved = now;
        self.write(now)
    }

    fn write(&mut self, now: Instant) -> io::Result<bool> {
        let State::Writing { bytes, written } = &mut self.state else {
            return Ok(true);
        };
        while *written < bytes.len() {
            let n = self.stream.write(&bytes[*written..])?;
            *written += n;
            self.moved = now;
            if n == 0 {
                return Ok(false);
            }
        }
        self.stream.shutdown(Shutdown::Write)?;
        self.state = State::Lingering { thrown_away: 0 };
        self.deadline = now + LINGERING;
        self.moved = now;
        Ok(true)
    }

    fn linger(&mut self) -> io::Result<bool> {
        let State::Lingering { thrown_away } = &mut self.state else {
            return Ok(true);
        };
        let mut some = [0; 2048];
        let n = self.stream.read(&mut some)?;
        *thrown_away += n;
        Ok(n > 0 && *thrown_away < THROWN_AWAY)
    }
}

/// Answers that are being made: each thread that makes one holds on to what lets one at a time do so.
fn being_made(site: &Site) -> usize {
    Arc::strong_count(&site.at_work) - 1
}

/// Has an answer made in a thread of its own, after others that are being made. Where the system refuses a thread, or
/// the answer fails, none comes.
fn made_apart(later: Later, site: &Site) -> Receiver<Response> {
    let (to, making) = channel();
    let (program, at_work) = (site.program, site.at_work.clone());
    let thread = thread::Builder::new()
        .name("goheap-answer".into())
        .stack_size(STACK);
    let _ = thread.spawn(move || {
        let _alone = at_work.lock().unwrap_or_else(PoisonError::into_inner);
        // A client that is gone takes none.
        let _ = to.send((later.then)(program));
    });
    making
}
