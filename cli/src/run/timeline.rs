//! What was seen of a program while it ran: a row a look.

use std::fs::File;
use std::path::{Path, PathBuf};

use goheap_stats::Snapshot;
use serde::Serialize;

use crate::Error;
use crate::thinned::Thinned;
use goheap_stats::States;

/// One look, as `timeline.csv` has it. Sizes in bytes.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Row {
    /// Since the program was started.
    pub seconds: f64,
    /// The process's resident set.
    pub rss: u64,
    /// As [`States`].
    pub live: u64,
    /// As [`States`].
    pub since: u64,
    /// As [`States`].
    pub slots: u64,
    /// As [`States`].
    pub retained: u64,
    /// As [`States`].
    pub released: u64,
    /// HeapSys: the five above.
    pub heap_sys: u64,
    /// Got from the system, with the heap's own records.
    pub sys: u64,
    /// The heap's size as the pacer counts it.
    pub heap_live: u64,
    /// Where the next cycle begins.
    pub trigger: u64,
    /// The pacer's goal.
    pub goal: u64,
    /// Cycles so far.
    pub cycles: u32,
    /// Of these, asked for.
    pub forced_cycles: u32,
    /// Handed back to the system so far.
    pub released_ever: u64,
    /// Allocated so far.
    pub total_alloc: u64,
    /// Objects allocated so far.
    pub mallocs: u64,
    /// Objects reclaimed so far.
    pub frees: u64,
    /// GOGC in percent; negative: off.
    pub gogc: i64,
    /// GOMEMLIMIT.
    pub memory_limit: i64,
    /// Counts the programs that the process has run, one after the other by exec, from 1.
    pub program: u32,
}

impl Row {
    fn of(snapshot: &Snapshot, seconds: f64, program: u32) -> Self {
        let states = States::of(snapshot);
        Self {
            seconds,
            rss: snapshot.rss,
            live: states.live,
            since: states.since,
            slots: states.slots,
            retained: states.retained,
            released: states.released,
            heap_sys: snapshot.heap_sys,
            sys: snapshot.sys,
            heap_live: snapshot.heap_live,
            trigger: snapshot.trigger,
            goal: snapshot.next_gc,
            cycles: snapshot.num_gc,
            forced_cycles: snapshot.num_forced_gc,
            released_ever: snapshot.released_ever,
            total_alloc: snapshot.total_alloc,
            mallocs: snapshot.mallocs,
            frees: snapshot.frees,
            gogc: snapshot.gc_percent,
            memory_limit: snapshot.memory_limit,
            program,
        }
    }
}

/// Rows kept for the report, at the most; the file gets all of them.
const KEPT: usize = 4000;

/// All rows: in a file as they come, and thinned out for the report.
pub struct Timeline {
    path: PathBuf,
    file: csv::Writer<File>,
    /// What the report shows, in order.
    pub rows: Thinned<Row>,
    /// The newest row and what it is of.
    last: Option<(Row, Snapshot)>,
    /// The largest of each figure.
    pub peaks: Peaks,
    begun_ns: u64,
    program: u32,
}

/// The largest figures that were seen, each by itself.
#[derive(Clone, Copy, Debug, Default, Serialize)]
#[allow(missing_docs)]
pub struct Peaks {
    pub rss: u64,
    pub heap_live: u64,
    pub heap_sys: u64,
    pub in_use: u64,
    pub idle_retained: u64,
}

impl Timeline {
    /// An empty one, in a new file; the program was started at `begun_ns` of the monotonic clock.
    pub fn new(path: &Path, begun_ns: u64) -> Result<Self, Error> {
        let file =
            File::create(path).map_err(Error::system(format!("write {}", path.display())))?;
        Ok(Self {
            path: path.into(),
            file: csv::Writer::from_writer(file),
            rows: Thinned::new(KEPT),
            last: None,
            peaks: Peaks::default(),
            begun_ns,
            program: 1,
        })
    }

    /// Adds a look at the program, unless it is the last one again.
    pub fn add(&mut self, snapshot: Snapshot) -> Result<(), Error> {
        if let Some((_, before)) = &self.last {
            // Nobody filled in its resident set: it is an answer that came too late, to a look given up.
            if before.taken_ns == snapshot.taken_ns || snapshot.rss == 0 {
                return Ok(());
            }
            self.program += u32::from(before.started_ns != snapshot.started_ns);
        }
        let seconds = snapshot.taken_ns.saturating_sub(self.begun_ns) as f64 / 1e9;
        let row = Row::of(&snapshot, seconds, self.program);
        self.file
            .serialize(row)
            .and_then(|()| Ok(self.file.flush()?))
            .map_err(std::io::Error::from)
            .map_err(|error| Error::system(format!("write {}", self.path.display()))(error))?;
        let peaks = &mut self.peaks;
        peaks.rss = peaks.rss.max(snapshot.peak_rss).max(row.rss);
        peaks.heap_live = peaks.heap_live.max(row.heap_live);
        peaks.heap_sys = peaks.heap_sys.max(row.heap_sys);
        peaks.in_use = peaks.in_use.max(row.live + row.since + row.slots);
        peaks.idle_retained = peaks.idle_retained.max(row.retained);
        self.rows.push(row);
        self.last = Some((row, snapshot));
        Ok(())
    }

    /// The last look.
    pub fn last(&self) -> Option<&(Row, Snapshot)> {
        self.last.as_ref()
    }

    /// Ends it: the report's rows end with the last one.
    pub fn finish(&mut self) {
        if let Some((last, _)) = &self.last
            && self
                .rows
                .kept
                .last()
                .is_none_or(|row| row.seconds < last.seconds)
        {
            self.rows.kept.push(*last);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_told_with_the_files_path() {
        let mut timeline = Timeline::new(Path::new("/dev/full"), 0).expect("it can be opened");
        let mut snapshot = Snapshot::zeroed();
        (snapshot.taken_ns, snapshot.rss) = (1, 1);
        let said = timeline.add(snapshot).expect_err("it is full").to_string();
        assert!(said.contains("cannot write /dev/full: No space"), "{said}");
    }
}
