//! The programs that the watched one started, and those that these did: as they told of themselves, and as they were
//! seen while they ran.

use std::collections::HashMap;
use std::time::Duration;

use goheap_stats::shared_page::Command as Ask;
use serde::Serialize;

use super::roll::Told;
use super::seldom::Seldom;
use crate::observe::{self, Facts};

/// How long one may take to answer; it may be stopped.
const PATIENCE: Duration = Duration::from_millis(50);
/// So many are seen, the first ones, and so many are kept in the end, the largest.
const MOST: usize = 10_000;

/// What is known of one. Sizes in bytes, times in seconds since the watched program was started.
#[derive(Clone, Debug, Serialize)]
pub struct Child {
    /// Its process.
    pub pid: u32,
    /// When that started, in ticks since the machine did.
    #[serde(skip)]
    pub started: u64,
    /// The program's name, cut to 15 bytes by the kernel.
    pub program: String,
    /// When it began, or was first seen if it did not tell.
    pub from: f64,
    /// When it ended, or was last known to be there if it did not tell.
    pub until: f64,
    /// Its largest resident set, as the kernel had it when it ended or, if it did not tell, when it was last seen. None
    /// if neither is known.
    pub peak_rss: Option<u64>,
    /// What was seen of its heap while it ran. None if it was never seen.
    #[serde(flatten)]
    pub heap: Option<Heap>,
}

/// A program's heap, when it was last seen.
#[derive(Clone, Debug, Serialize)]
pub struct Heap {
    /// The pacer's size of it, the largest seen.
    pub peak_heap_live: u64,
    /// Cycles.
    pub cycles: u32,
    /// Allocated in all.
    pub total_alloc: u64,
}

impl Child {
    /// Takes in what was seen of the same program.
    fn also_seen_as(&mut self, seen: Child) {
        self.until = self.until.max(seen.until);
        self.peak_rss = self.peak_rss.max(seen.peak_rss);
        let before = self.heap.as_ref().map_or(0, |heap| heap.peak_heap_live);
        self.heap = seen.heap.or(self.heap.take());
        if let Some(heap) = &mut self.heap {
            heap.peak_heap_live = heap.peak_heap_live.max(before);
        }
    }
}

/// All that are known.
#[derive(Default)]
pub struct Children {
    seen: Vec<Child>,
    /// Where in `seen` a process's programs are, by its number and when it started; the last is the one it runs.
    processes: HashMap<(u32, u64), usize>,
    seldom: Seldom,
}

impl Children {
    /// Looks at those that run now, if that is not done too often. `root` is the watched process.
    pub fn look(&mut self, root: u32, seconds: f64) {
        let mut seldom = std::mem::take(&mut self.seldom);
        seldom.run(|| self.look_now(root, seconds));
        self.seldom = seldom;
    }

    /// Takes in what they told of themselves. `root` is the watched process, which was started at `begun`, in
    /// nanoseconds of the monotonic clock.
    pub fn told(&mut self, all: Vec<Told>, root: u32, begun: u64) {
        let seconds = |nanos: u64| nanos.saturating_sub(begun) as f64 / 1e9;
        let namespace = observe::namespace();
        let seen = std::mem::take(&mut self.seen);
        // Where in `self.seen` the programs of a process are now, in the order in which it ran them.
        let mut programs: HashMap<_, Vec<usize>> = HashMap::new();
        for told in all {
            // A number of another namespace is another process's in this one.
            if namespace == Some(told.process.namespace) {
                if told.process.pid == root {
                    continue;
                }
                let process = (told.process.pid, told.process.started);
                programs.entry(process).or_default().push(self.seen.len());
            }
            let from = seconds(told.from);
            self.seen.push(Child {
                pid: told.process.pid,
                started: told.process.started,
                program: told.program,
                from,
                until: told.ended.map_or(from, |(nanos, _)| seconds(nanos)),
                peak_rss: told.ended.map(|(_, peak_rss)| peak_rss),
                heap: None,
            });
        }
        for child in seen {
            let told = programs.get(&(child.pid, child.started));
            let mut told = told.into_iter().flatten().rev();
            // It may have another name by then. One that never told is kept as it was seen.
            match told.find(|&&at| self.seen[at].from <= child.from) {
                Some(&at) => self.seen[at].also_seen_as(child),
                None => self.seen.push(child),
            }
        }
    }

    /// How many they were, and those with the largest resident set, these first.
    pub fn by_size(mut self) -> (usize, Vec<Child>) {
        let count = self.seen.len();
        self.seen
            .sort_by_key(|child| std::cmp::Reverse(child.peak_rss));
        self.seen.truncate(MOST);
        (count, self.seen)
    }

    fn look_now(&mut self, root: u32, seconds: f64) {
        for program in observe::list() {
            let facts = &program.facts;
            if !self.is_below(root, facts) {
                continue;
            }
            let Ok(snapshot) = program.page.ask_within(Ask::Look, PATIENCE) else {
                continue;
            };
            let Some(child) = self.child(facts, seconds) else {
                continue;
            };
            child.until = seconds;
            child.peak_rss = child.peak_rss.max(Some(snapshot.peak_rss));
            let before = child.heap.as_ref().map_or(0, |heap| heap.peak_heap_live);
            child.heap = Some(Heap {
                peak_heap_live: before.max(snapshot.heap_live),
                cycles: snapshot.num_gc,
                total_alloc: snapshot.total_alloc,
            });
        }
    }

    /// Whether the process comes from `root`. One whose parents have ended is known if it was seen before that.
    fn is_below(&self, root: u32, facts: &Facts) -> bool {
        if facts.pid == root {
            return false;
        }
        if self.processes.contains_key(&(facts.pid, facts.started)) {
            return true;
        }
        let mut parent = facts.parent;
        // A process's parent is older, so this ends.
        while parent > 1 && parent != root {
            let Some(facts) = observe::facts(parent) else {
                return false;
            };
            if self.processes.contains_key(&(facts.pid, facts.started)) {
                return true;
            }
            parent = facts.parent;
        }
        parent == root
    }

    fn child(&mut self, facts: &Facts, seconds: f64) -> Option<&mut Child> {
        let process = (facts.pid, facts.started);
        let at = match self.processes.get(&process) {
            Some(&at) if self.seen[at].program == facts.name => at,
            _ if self.seen.len() == MOST => return None,
            _ => {
                self.seen.push(Child {
                    pid: facts.pid,
                    started: facts.started,
                    program: facts.name.clone(),
                    from: seconds,
                    until: seconds,
                    peak_rss: None,
                    heap: None,
                });
                let at = self.seen.len() - 1;
                self.processes.insert(process, at);
                at
            }
        };
        self.seen.get_mut(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use goheap_stats::shared_page::Identity;

    /// What was seen of a process at that second.
    fn seen(pid: u32, program: &str, from: f64, peak_rss: u64) -> Child {
        Child {
            pid,
            started: 7,
            program: program.into(),
            from,
            until: from,
            peak_rss: Some(peak_rss),
            heap: Some(Heap {
                peak_heap_live: peak_rss / 2,
                cycles: 1,
                total_alloc: peak_rss,
            }),
        }
    }

    /// What a process tells, from and until these seconds.
    fn told(pid: u32, program: &str, from: u64, ended: Option<(u64, u64)>) -> Told {
        Told {
            process: Identity {
                namespace: observe::namespace().expect("there is /proc"),
                pid,
                started: 7,
            },
            program: program.into(),
            forked: false,
            from: from * 1_000_000_000,
            ended: ended.map(|(until, rss)| (until * 1_000_000_000, rss)),
        }
    }

    fn joined(seen: Vec<Child>, all: Vec<Told>) -> Vec<(u32, String, f64, f64, Option<u64>, bool)> {
        let mut children = Children {
            seen,
            ..Children::default()
        };
        children.told(all, 1, 0);
        let children = children.seen.into_iter();
        children
            .map(|c| {
                (
                    c.pid,
                    c.program,
                    c.from,
                    c.until,
                    c.peak_rss,
                    c.heap.is_some(),
                )
            })
            .collect()
    }

    #[test]
    fn what_was_seen_is_of_the_program_that_ran_then() {
        let seen = vec![
            seen(2, "sh", 1.5, 30),
            seen(2, "cc", 2.5, 90),
            // It has named itself anew.
            seen(2, "worker", 3.5, 60),
        ];
        let all = vec![told(2, "sh", 1, None), told(2, "cc", 2, Some((4, 80)))];
        assert_eq!(
            joined(seen, all),
            [
                (2, "sh".into(), 1.0, 1.5, Some(30), true),
                (2, "cc".into(), 2.0, 4.0, Some(90), true),
            ]
        );
    }

    #[test]
    fn who_did_not_tell_is_known_as_it_was_seen_and_the_other_way_round() {
        let all = vec![
            told(1, "root", 0, Some((9, 1))),
            told(3, "ls", 1, Some((2, 5))),
        ];
        assert_eq!(
            joined(vec![seen(2, "sh", 1.5, 30)], all),
            [
                (3, "ls".into(), 1.0, 2.0, Some(5), false),
                (2, "sh".into(), 1.5, 1.5, Some(30), true),
            ]
        );
    }
}
