//! The programs that the watched one started, and those that these did, as far as they are seen while they run.

use std::collections::HashMap;
use std::time::Duration;

use goheap_stats::shared_page::Command as Ask;
use serde::Serialize;

use super::seldom::Seldom;
use crate::observe::{self, Facts};

/// How long one may take to answer; it may be stopped.
const PATIENCE: Duration = Duration::from_millis(50);
/// So many are kept, the first ones.
const MOST: usize = 10_000;

/// What was seen of one. Sizes in bytes, times in seconds since the watched program was started.
#[derive(Clone, Debug, Serialize)]
pub struct Child {
    /// Its process.
    pub pid: u32,
    /// The program's name, cut to 15 bytes by the kernel.
    pub program: String,
    /// When it was first seen.
    pub from: f64,
    /// When it was last seen.
    pub until: f64,
    /// Its largest resident set, as the kernel had it when it was last seen.
    pub peak_rss: u64,
    /// The pacer's size of its heap, the largest seen.
    pub peak_heap_live: u64,
    /// Cycles, when it was last seen.
    pub cycles: u32,
    /// Allocated in all, when it was last seen.
    pub total_alloc: u64,
}

/// All that were seen.
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

    /// What was seen, those with the largest resident set first.
    pub fn by_size(mut self) -> Vec<Child> {
        self.seen
            .sort_by_key(|child| std::cmp::Reverse(child.peak_rss));
        self.seen
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
            child.peak_rss = child.peak_rss.max(snapshot.peak_rss);
            child.peak_heap_live = child.peak_heap_live.max(snapshot.heap_live);
            child.cycles = snapshot.num_gc;
            child.total_alloc = snapshot.total_alloc;
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
                    program: facts.name.clone(),
                    from: seconds,
                    until: seconds,
                    peak_rss: 0,
                    peak_heap_live: 0,
                    cycles: 0,
                    total_alloc: 0,
                });
                let at = self.seen.len() - 1;
                self.processes.insert(process, at);
                at
            }
        };
        self.seen.get_mut(at)
    }
}
