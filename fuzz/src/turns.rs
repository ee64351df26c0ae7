//! Who goes next.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use crate::{Order, Program};

/// The order of a program's commands over its threads, and where in it the program is.
pub(crate) struct Turns {
    /// The thread of each command in lockstep; nothing when all go at once.
    order: Vec<usize>,
    state: Mutex<State>,
    moved: Condvar,
}

#[derive(Default)]
struct State {
    next: usize,
    stopped: bool,
}

impl Turns {
    pub(crate) fn of(program: &Program) -> Self {
        let lengths = || program.threads.iter().map(Vec::len);
        let longest = match program.order {
            Order::Lockstep => lengths().max().unwrap_or(0),
            Order::Concurrent => 0,
        };
        let order = (0..longest)
            .flat_map(|step| lengths().enumerate().filter(move |&(_, len)| step < len))
            .map(|(thread, _)| thread)
            .collect();
        Self {
            order,
            state: Mutex::default(),
            moved: Condvar::new(),
        }
    }

    /// Runs a thread's next command when its turn has come; nothing once the program is stopped.
    pub(crate) fn take<T>(&self, thread: usize, command: impl FnOnce() -> T) -> Option<T> {
        if self.order.is_empty() {
            return (!self.lock().stopped).then(command);
        }
        let wait = self.moved.wait_while(self.lock(), |state| {
            !state.stopped && self.order.get(state.next) != Some(&thread)
        });
        let state = wait.unwrap_or_else(PoisonError::into_inner);
        if state.stopped {
            return None;
        }
        drop(state);
        let out = command();
        self.lock().next += 1;
        self.moved.notify_all();
        Some(out)
    }

    /// In lockstep, holds a thread until all are done: when a thread ends is no command.
    pub(crate) fn wait_for_all(&self) {
        let wait = self.moved.wait_while(self.lock(), |state| {
            !state.stopped && state.next < self.order.len()
        });
        drop(wait);
    }

    /// Lets every thread stop at its next command.
    pub(crate) fn stop(&self) {
        self.lock().stopped = true;
        self.moved.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
