//! What each policy does, and why its line looks as it does, in a sentence each.

use goheap_pacer::TriggerRule;
use goheap_scavenger::{Growth, HeapGoal, Pace};

use super::watched::{Versions, Watched};

/// The share of a burst that counts as all of it: allocators keep a little.
pub const NEARLY_ALL: f64 = 0.9;

/// Minutes as one reads a clock.
pub fn clock(minutes: f64) -> String {
    let seconds = (minutes * 60.0).round() as u64;
    format!("{}:{:02}", seconds / 60, seconds % 60)
}

/// How memory goes back: the advice that the kernel gets.
pub fn advice(versions: Versions) -> &'static str {
    if versions.policy().lazily {
        "MADV_FREE"
    } else {
        "MADV_DONTNEED"
    }
}

/// When the burst was back, for a panel.
pub fn back(watched: &Watched) -> String {
    match watched.back_after(NEARLY_ALL) {
        Some(at) => format!("90 % back at {}", clock(at)),
        None => format!("{:.0} % back in the end", watched.back_in_the_end() * 100.0),
    }
}

/// A few words, for a panel.
pub fn short(versions: Versions) -> &'static str {
    let policy = versions.policy();
    match policy.pace {
        Pace::Passes(p) if p.force_cycles => "every minute: idle for 5",
        Pace::Passes(_) if policy.growth == Growth::Largest => {
            "every 2½ min: idle for 5; at growth; lazily"
        }
        Pace::Passes(_) => "every 2½ min: idle for 5",
        Pace::Line => "a page a ms to 1.1 × goal; lazily",
        Pace::Averaged if policy.lazily => "1 % of one processor; lazily",
        Pace::Averaged => "1 % of one processor",
        Pace::Controlled if policy.spares_dense => "1 % of all; dense chunks spared",
        Pace::Controlled => "1 % of all processors",
    }
}

/// What these versions do.
fn does(versions: Versions) -> String {
    let (policy, rules) = (versions.policy(), versions.rules());
    let mut text = match policy.pace {
        Pace::Passes(passes) => format!(
            "A pass every {} gives back each run of pages that has been idle for over five minutes",
            if passes.force_cycles {
                "minute"
            } else {
                "two and a half minutes"
            }
        ),
        Pace::Line => "In the background a page, or a whole huge page, goes back each \
             millisecond"
            .into(),
        Pace::Averaged => "The background scavenger takes one percent of one processor".into(),
        Pace::Controlled => {
            "A controller keeps the background scavenger at one percent of all processors".into()
        }
    };
    text += match policy.heap_goal {
        HeapGoal::None => "",
        HeapGoal::OfGoal => ", down to a tenth above the goal",
        HeapGoal::OfInUse => ", down to a tenth above what the heap is expected to have in use",
    };
    if policy.growth == Growth::Largest {
        text += ", and growth gives back as much as it takes, the largest runs first";
    }
    if policy.spares_dense {
        text += ", sparing chunks that were dense in this cycle or the last";
    }
    text += &match rules.trigger {
        TriggerRule::AtGoal => "; cycles stop the world, at twice what is live, however little \
             that is for want of a least heap"
            .to_owned(),
        TriggerRule::Feedback { utilization, floor } => {
            let least = if floor > 0.0 {
                format!(", at {:.0} % of the growth allowed or later", floor * 100.0)
            } else {
                String::new()
            };
            format!(
                "; a feedback loop sets the trigger of cycles, which are to take {:.0} % of the \
                 processors{least}",
                utilization * 100.0
            )
        }
        TriggerRule::Runway {
            largest_of_five: true,
        } => "; the trigger leaves room by the largest of five estimates".to_owned(),
        TriggerRule::Runway { .. } => {
            "; the trigger leaves room by a smoothed estimate, and roots count in the goal"
                .to_owned()
        }
    };
    match (rules.head_room_percent, policy.limit_factor) {
        (Some(percent), Some(factor)) => {
            let room = if percent == 0 { "1 MiB" } else { "3 %" };
            let slip = if factor > 1.0 {
                ", but the background misses it by a slip"
            } else {
                ""
            };
            text + &format!("; a memory limit leaves {room} of head room{slip}.")
        }
        _ => text + ".",
    }
}

/// Why the line looks as it does.
fn saw(watched: &Watched) -> String {
    let versions = watched.versions;
    let cycles = watched.cycles();
    let mut text = match cycles.as_slice() {
        [] => "No cycle ran while it rested".into(),
        [first, ..] => format!("The cycle forced at {} found the burst dead", clock(*first)),
    };
    match watched.back_after(NEARLY_ALL) {
        None => {
            text += &format!(
                "; {:.0} % of it went back, and the rest stays within the goal",
                watched.back_in_the_end() * 100.0
            )
        }
        Some(at) => {
            let second = cycles.get(1).is_some_and(|&second| at >= second - 0.05);
            text += &match versions.policy().pace {
                Pace::Passes(_) => format!("; the pass at {} found it old enough", clock(at)),
                _ if second && versions.policy().spares_dense => format!(
                    "; its chunks were dense until the next one, and nine tenths were back at {}",
                    clock(at)
                ),
                _ => format!("; nine tenths of it were back at {}", clock(at)),
            };
        }
    }
    if versions.policy().lazily {
        text += ", yet RSS stays: the kernel counts those pages until it needs them";
    }
    text + "."
}

/// Both, below the versions' name.
pub fn of(watched: &Watched) -> String {
    format!(
        "{}\n  {}\n  {}",
        watched.versions.name(),
        does(watched.versions),
        saw(watched)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_group_is_told_apart_from_its_neighbours() {
        let all = Versions::all();
        for pair in all.windows(2) {
            let told = [pair[0], pair[1]].map(|v| (does(v), advice(v)));
            assert_ne!(told[0], told[1]);
        }
    }

    #[test]
    fn minutes_read_as_on_a_clock() {
        assert_eq!(clock(2.084), "2:05");
        assert_eq!(clock(0.999), "1:00");
    }
}
