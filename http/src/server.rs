//! All connections in one thread: it sleeps until one of them can go on, or has taken too long.

use std::cell::Cell;
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::Program;
use crate::answer::Site;
use crate::connection::Connection;

/// Connections at a time. Who scrapes, and who looks, needs a few.
const CONNECTIONS: usize = 32;
/// How long no connection is taken after the system refused one.
const PAUSE: Duration = Duration::from_millis(100);

/// A socket that listens, and what it answers.
pub struct Server {
    listener: TcpListener,
    /// The address that was asked for, which clients may give as the host.
    given: SocketAddr,
}

impl Server {
    /// Listens at an address; port 0 has the system choose one.
    ///
    /// # Errors
    /// The system's refusal: the port is in use, or the address is not this machine's.
    pub fn bind(given: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(given)?;
        listener.set_nonblocking(true)?;
        Ok(Self { listener, given })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// The system does not say.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Answers for as long as the process lives.
    ///
    /// # Errors
    /// The system refuses to wait for connections.
    pub fn run(self, program: &'static dyn Program) -> io::Result<()> {
        let site = Site {
            program,
            at_work: Arc::new(Mutex::new(())),
            given: self.given,
            over_time: Cell::new(0),
        };
        let mut connections: Vec<Connection> = Vec::new();
        let mut accept_at = Instant::now();
        loop {
            let now = Instant::now();
            let ready = self.wait(&connections, accept_at, now)?;
            let now = Instant::now();
            let (new, old) = ready
                .split_last()
                .map_or((false, &[][..]), |(new, old)| (!new.is_empty(), old));
            let over_time = connections
                .iter()
                .filter(|connection| connection.is_over_time());
            site.over_time.set(over_time.count());
            let mut old = old.iter();
            connections.retain_mut(|connection| {
                let ready = old.next().copied().unwrap_or(PollFlags::empty());
                connection.step(ready, now, &site)
            });
            if new && !self.accept(&mut connections, now) {
                accept_at = now + PAUSE;
            }
        }
    }

    /// Sleeps until something can go on. Returns what can, the listening socket last.
    fn wait(
        &self,
        connections: &[Connection],
        accept_at: Instant,
        now: Instant,
    ) -> io::Result<Vec<PollFlags>> {
        let mut until = connections.iter().map(Connection::deadline).min();
        let mut sockets: Vec<_> = connections
            .iter()
            .map(|connection| PollFd::new(connection.stream(), connection.interest()))
            .collect();
        let listening = match accept_at <= now {
            true => PollFlags::IN,
            false => {
                until = Some(until.map_or(accept_at, |until| until.min(accept_at)));
                PollFlags::empty()
            }
        };
        sockets.push(PollFd::new(&self.listener, listening));
        let time = until.map(|until| timespec(until.saturating_duration_since(now)));
        match poll(&mut sockets, time.as_ref()) {
            Ok(_) => {}
            // Signals are the program's, but some cannot be blocked.
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(sockets.iter().map(PollFd::revents).collect())
    }

    /// Takes all that wait to be taken; `false`: the system refuses.
    fn accept(&self, connections: &mut Vec<Connection>, now: Instant) -> bool {
        loop {
            match self.listener.accept() {
                Ok((stream, _)) => {
                    if let Ok(connection) = Connection::new(stream, now) {
                        make_room(connections, now);
                        if connections.len() < CONNECTIONS {
                            connections.push(connection);
                        }
                    }
                }
                Err(error) => match error.kind() {
                    ErrorKind::WouldBlock => return true,
                    ErrorKind::Interrupted | ErrorKind::ConnectionAborted => {}
                    _ => return false,
                },
            }
        }
    }
}

/// Where there are as many connections as there may be: ends the one that has waited longest for its
/// client, so that clients that say nothing keep nobody out.
fn make_room(connections: &mut Vec<Connection>, now: Instant) {
    if connections.len() < CONNECTIONS {
        return;
    }
    let longest = connections
        .iter()
        .enumerate()
        .filter_map(|(at, connection)| Some((connection.waits_since(now)?, at)))
        .min();
    if let Some((_, at)) = longest {
        connections.swap_remove(at);
    }
}

fn timespec(time: Duration) -> Timespec {
    Timespec {
        tv_sec: time.as_secs().try_into().unwrap_or(i64::MAX),
        tv_nsec: time.subsec_nanos().into(),
    }
}
