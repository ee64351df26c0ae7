//! One policy, and what the burst looked like under it.

use std::env;
use std::process::{Child, Command, Stdio};

use goheap_pacer::Rules;
use goheap_scavenger::{NEWEST, Policy};

use super::burst::{SCALE, Sample};
use crate::Error;

/// Versions of Go that behave alike.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Versions {
    /// The first and the last of them: the 21 of 1.21.
    pub first: u8,
    /// See `first`.
    pub last: u8,
}

impl Versions {
    /// All versions, in groups that have the same rules, policy and least heap.
    pub fn all() -> Vec<Self> {
        let of = |minor| {
            let least = Rules::least_heap(minor);
            (Rules::go(minor), Policy::go(minor), least)
        };
        let mut groups: Vec<Self> = Vec::new();
        for minor in 1..=NEWEST {
            match groups.last_mut() {
                Some(group) if of(group.first) == of(minor) => group.last = minor,
                _ => groups.push(Self {
                    first: minor,
                    last: minor,
                }),
            }
        }
        groups
    }

    /// As one writes them.
    pub fn name(self) -> String {
        if self.first == self.last {
            format!("go1.{}", self.last)
        } else {
            format!("go1.{} – go1.{}", self.first, self.last)
        }
    }

    /// How these give memory back.
    pub fn policy(self) -> Policy {
        Policy::go(self.last)
    }

    /// When these run a cycle.
    pub fn rules(self) -> Rules {
        Rules::go(self.last)
    }
}

/// The burst under one policy, while it runs.
pub struct Running {
    versions: Versions,
    child: Child,
}

impl Running {
    /// Starts it, in a process of its own.
    pub fn start(versions: Versions) -> Result<Self, Error> {
        let program = env::current_exe().map_err(Error::system("find this program's own file"))?;
        let child = Command::new(&program)
            .env_clear()
            .env("GOHEAP_POLICY", format!("go1.{}", versions.last))
            .env("GOHEAP_TIME_SCALE", SCALE.to_string())
            .arg("burst")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(Error::system(format!("start {}", program.display())))?;
        Ok(Self { versions, child })
    }

    /// Waits for its end.
    pub fn finish(self) -> Result<Watched, Error> {
        let name = format!("a burst under {}", self.versions.name());
        let output = self
            .child
            .wait_with_output()
            .map_err(Error::system("wait for a process of this program"))?;
        if !output.status.success() {
            return Err(Error::Child {
                trace: name,
                status: output.status,
                stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            });
        }
        let samples = serde_json::Deserializer::from_slice(&output.stdout)
            .into_iter()
            .collect::<Result<Vec<Sample>, _>>()
            .map_err(|error| error.to_string())
            .and_then(|samples| match samples.is_empty() {
                true => Err("there are none".to_owned()),
                false => Ok(samples),
            })
            .map_err(|reason| Error::Figures { of: name, reason })?;
        Ok(Watched {
            versions: self.versions,
            samples,
        })
    }
}

/// What was seen of one policy.
#[derive(Clone, Debug)]
pub struct Watched {
    /// Whose it is.
    pub versions: Versions,
    /// At least one, in the order of time.
    pub samples: Vec<Sample>,
}

impl Watched {
    /// The highest RSS, in bytes.
    pub fn peak(&self) -> u64 {
        self.samples.iter().map(|s| s.rss).max().unwrap_or(0)
    }

    /// RSS before the burst, in bytes.
    fn before(&self) -> u64 {
        self.samples.first().map_or(0, |s| s.rss)
    }

    /// The look at that minute, or the last one before.
    pub fn at(&self, minutes: f64) -> Sample {
        let later = self.samples.partition_point(|s| s.minutes <= minutes);
        self.samples[later.saturating_sub(1)]
    }

    /// Minutes after which so large a share (0 to 1) of the burst was given back, lazily or not.
    pub fn back_after(&self, share: f64) -> Option<f64> {
        let (peak, before) = (self.peak() as f64, self.before() as f64);
        let line = peak - share * (peak - before);
        let rest = self.samples.iter().filter(|s| s.minutes >= 0.0);
        let mut below = rest.filter(|s| (s.rss.saturating_sub(s.lazy)) as f64 <= line);
        below.next().map(|s| s.minutes)
    }

    /// The share of the burst that was given back when the rest was over, 0 to 1.
    pub fn back_in_the_end(&self) -> f64 {
        let last = self.at(f64::MAX);
        let kept = last.rss.saturating_sub(last.lazy);
        let burst = self.peak().saturating_sub(self.before()).max(1);
        self.peak().saturating_sub(kept) as f64 / burst as f64
    }

    /// When cycles ended after the burst was dropped, in minutes.
    pub fn cycles(&self) -> Vec<f64> {
        let pairs = self.samples.windows(2);
        pairs
            .filter(|p| p[1].minutes > 0.0 && p[1].cycles != p[0].cycles)
            .map(|p| p[1].minutes)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_version_belongs_to_one_group_and_neighbours_differ() {
        let groups = Versions::all();
        let mut next = 1;
        for group in &groups {
            assert_eq!(group.first, next, "{groups:?}");
            next = group.last + 1;
        }
        assert_eq!(next, NEWEST + 1);
        let names: Vec<_> = groups.iter().map(|g| g.name()).collect();
        assert_eq!(names.first().map(String::as_str), Some("go1.1 – go1.3"));
        assert!(names.contains(&"go1.13".to_owned()));
        assert_eq!(names.last().map(String::as_str), Some("go1.22 – go1.27"));
    }

    #[test]
    fn lazy_memory_counts_as_given_back_but_not_as_gone() {
        let sample = |minutes, rss, lazy, cycles| Sample {
            minutes,
            rss,
            lazy,
            cycles,
        };
        let watched = Watched {
            versions: Versions {
                first: 12,
                last: 12,
            },
            samples: vec![
                sample(-0.2, 10, 0, 0),
                sample(-0.1, 110, 0, 1),
                sample(2.0, 110, 50, 2),
                sample(3.0, 110, 95, 2),
            ],
        };
        assert_eq!((watched.peak(), watched.at(2.5).rss), (110, 110));
        assert_eq!(watched.back_after(0.5), Some(2.0));
        assert_eq!(watched.back_after(0.9), Some(3.0));
        assert_eq!(watched.back_after(1.0), None);
        assert_eq!(watched.back_in_the_end(), 0.95);
        assert_eq!(watched.cycles(), [2.0]);
    }
}
