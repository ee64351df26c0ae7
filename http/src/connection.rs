//! A client, from its first byte to its last: one request, one answer, and the connection is over.
//!
//! ```text
//! Reading ──▶ (Waiting, for an answer over some seconds) ──▶ Writing ──▶ Lingering
//! ```
//! Each state has its deadline, which no trickle of bytes puts off for good. Nothing here blocks.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
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
/// Bytes of what a client sends beyond its request that are thrown away for it.
const THROWN_AWAY: usize = 1 << 20;

enum State {
    /// What there is of the request's head.
    Reading(Vec<u8>),
    Waiting(Later),
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
            State::Waiting(_) => PollFlags::RDHUP,
            State::Reading(_) | State::Lingering { .. } => PollFlags::IN,
        }
    }

    /// Whether it is being answered over some time.
    pub fn is_waiting(&self) -> bool {
        matches!(self.state, State::Waiting(_))
    }

    /// Since when it waits for its client, if it does: not while it owes that an answer that takes time.
    pub fn waits_since(&self, now: Instant) -> Option<Instant> {
        let waits = match self.state {
            State::Reading(_) | State::Lingering { .. } => true,
            State::Writing { .. } => now >= self.moved + STALLED,
            State::Waiting(_) => false,
        };
        waits.then_some(self.moved)
    }

    /// Goes on as far as it can; `false`: it is over.
    pub fn step(&mut self, ready: PollFlags, now: Instant, site: &Site<'_>) -> bool {
        if self.is_waiting() {
            return match now >= self.deadline {
                true => self.answer_late(now, site),
                false => ready.is_empty(),
            };
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
            State::Waiting(_) => Ok(true),
        };
        match result {
            Ok(goes_on) => goes_on,
            Err(error) => matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted),
        }
    }

    fn read(&mut self, now: Instant, site: &Site<'_>) -> io::Result<bool> {
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
            Ok(Some(request)) => match site.answer(&request) {
                Answer::Now(response) if request.without_body => response.without_body(),
                Answer::Now(response) => response,
                Answer::Later(later) => {
                    site.waiting.set(site.waiting.get() + 1);
                    self.deadline = now + later.after;
                    self.state = State::Waiting(later);
                    return Ok(true);
                }
            },
        };
        self.begin_to_write(&response, now)
    }

    fn answer_late(&mut self, now: Instant, site: &Site<'_>) -> bool {
        let state = std::mem::replace(&mut self.state, State::Reading(Vec::new()));
        let State::Waiting(later) = state else {
            return false;
        };
        let response = (later.then)(site);
        match self.begin_to_write(&response, now) {
            Ok(goes_on) => goes_on,
            Err(error) => error.kind() == ErrorKind::WouldBlock,
        }
    }

    fn begin_to_write(&mut self, response: &Response, now: Instant) -> io::Result<bool> {
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
