//! What `src/sync.rs` is to the allocator, over loom: its files name their atomics here. Any one ordering that they
//! ask for can be weakened.

pub use loom::sync::atomic::Ordering;
use loom::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt;
use std::panic::Location;
use std::sync::OnceLock;

/// An ordering in the sources, and a weaker one in its place.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Weakened {
    file: &'static str,
    line: u32,
    column: u32,
    /// Of an exchange that fails.
    on_failure: bool,
    from: &'static str,
    to: &'static str,
}

impl Weakened {
    pub fn is_of(&self, file: &str) -> bool {
        self.file.ends_with(file)
    }
}

impl fmt::Debug for Weakened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = self.file.rsplit("../").next().unwrap_or(self.file);
        let on_failure = if self.on_failure { " on failure" } else { "" };
        write!(
            f,
            "{file}:{}: {}{on_failure} → {}",
            self.line, self.from, self.to
        )
    }
}

#[derive(Default)]
struct Orderings {
    seen: BTreeSet<Weakened>,
    weakened: Option<Weakened>,
}

thread_local! {
    // All threads of a model run in the thread of its test.
    static ORDERINGS: RefCell<Orderings> = RefCell::default();
}

/// All that can be weakened of what has been asked for in this test.
pub fn seen() -> BTreeSet<Weakened> {
    ORDERINGS.with_borrow(|all| all.seen.clone())
}

/// From now on this ordering is a weaker one, or none is.
pub fn weaken(what: Option<Weakened>) {
    ORDERINGS.with_borrow_mut(|all| all.weakened = what);
}

fn asked(order: Ordering, on_failure: bool, at: &Location<'static>) -> Ordering {
    let weaker: &[(Ordering, &str, &str)] = match order {
        Acquire => &[(Relaxed, "Acquire", "Relaxed")],
        Release => &[(Relaxed, "Release", "Relaxed")],
        AcqRel => &[
            (Acquire, "AcqRel", "Acquire"),
            (Release, "AcqRel", "Release"),
        ],
        _ => &[],
    };
    // The models' own steps are right.
    if !at.file().contains("/src/") {
        return order;
    }
    ORDERINGS.with_borrow_mut(|all| {
        let mut granted = order;
        for &(instead, from, to) in weaker {
            let weakened = Weakened {
                file: at.file(),
                line: at.line(),
                column: at.column(),
                on_failure,
                from,
                to,
            };
            if all.weakened.as_ref() == Some(&weakened) {
                granted = instead;
            }
            all.seen.insert(weakened);
        }
        granted
    })
}

macro_rules! atomic {
    ($name:ident, $of:ty) => {
        /// loom's of the same name, made when it is first used: constants cannot hold one. That has to happen before
        /// others can reach it.
        #[derive(Debug)]
        pub struct $name(OnceLock<loom::sync::atomic::$name>, $of);

        #[allow(dead_code, reason = "each has what core's has")]
        impl $name {
            pub const fn new(first: $of) -> Self {
                Self(OnceLock::new(), first)
            }

            fn get(&self) -> &loom::sync::atomic::$name {
                self.0
                    .get_or_init(|| loom::sync::atomic::$name::new(self.1))
            }

            #[track_caller]
            pub fn load(&self, order: Ordering) -> $of {
                self.get().load(asked(order, false, Location::caller()))
            }

            #[track_caller]
            pub fn store(&self, value: $of, order: Ordering) {
                self.get()
                    .store(value, asked(order, false, Location::caller()));
            }

            #[track_caller]
            pub fn swap(&self, value: $of, order: Ordering) -> $of {
                self.get()
                    .swap(value, asked(order, false, Location::caller()))
            }

            #[track_caller]
            pub fn fetch_add(&self, value: $of, order: Ordering) -> $of {
                self.get()
                    .fetch_add(value, asked(order, false, Location::caller()))
            }

            #[track_caller]
            pub fn fetch_sub(&self, value: $of, order: Ordering) -> $of {
                self.get()
                    .fetch_sub(value, asked(order, false, Location::caller()))
            }

            #[track_caller]
            pub fn fetch_and(&self, value: $of, order: Ordering) -> $of {
                self.get()
                    .fetch_and(value, asked(order, false, Location::caller()))
            }

            #[track_caller]
            pub fn compare_exchange(
                &self,
                from: $of,
                to: $of,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$of, $of> {
                let at = Location::caller();
                let (success, failure) = (asked(success, false, at), asked(failure, true, at));
                self.get().compare_exchange(from, to, success, failure)
            }
        }
    };
}

atomic!(AtomicU16, u16);
atomic!(AtomicU32, u32);
atomic!(AtomicU64, u64);
atomic!(AtomicUsize, usize);
