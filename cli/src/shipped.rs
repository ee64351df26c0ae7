//! The traces that come with the program, and what Go 1.27.3 did with each.

use std::borrow::Cow;
use std::fmt::Write;

use crate::Error;
use crate::fidelity::Reference;

/// A trace with its reference.
#[derive(Clone, Debug)]
pub struct Shipped {
    /// Its name.
    pub name: &'static str,
    /// The operations, as [`crate::trace`] reads them.
    pub trace: Cow<'static, str>,
    reference: &'static str,
}

impl Shipped {
    /// What Go did.
    pub fn reference(&self) -> Result<Reference, Error> {
        Reference::from_json(self.name, self.reference)
    }
}

macro_rules! shipped {
    ($name:literal, $trace:expr) => {
        Shipped {
            name: $name,
            trace: Cow::from($trace),
            reference: include_str!(concat!("../data/go1.27.3/", $name, ".json")),
        }
    };
    ($name:literal) => {
        shipped!(
            $name,
            include_str!(concat!("../data/traces/", $name, ".trace"))
        )
    };
}

/// All of them: the eight of the story in its order, then `sizes`.
pub fn all() -> [Shipped; 9] {
    [
        shipped!("thread-values"),
        shipped!("thread-values-gc"),
        shipped!("thread-values-prealloc"),
        shipped!("thread-values-prealloc-gc"),
        shipped!("thread-pointers"),
        shipped!("thread-pointers-gc"),
        shipped!("hole"),
        shipped!("idle-twice", idle_twice()),
        shipped!("sizes", sizes()),
    ]
}

/// A burst of 250 MiB, dropped and collected twice, ten seconds of nothing, and
/// the burst again: how fast memory goes back, and that it can be had again.
fn idle_twice() -> String {
    const OBJECTS: u32 = 4000;
    let mut trace = format!("n {OBJECTS}\n");
    let burst = |ids: &mut dyn Iterator<Item = u32>, trace: &mut String| {
        for id in ids {
            push(trace, format_args!("a {id} 65536"));
        }
    };
    burst(&mut (0..OBJECTS), &mut trace);
    push(&mut trace, format_args!("s burst"));
    for id in 0..OBJECTS {
        push(&mut trace, format_args!("f {id}"));
    }
    trace += "g\ns collected\ng\ns again\n";
    for step in 0..20 {
        push(&mut trace, format_args!("w 500\ns idle{step}"));
    }
    // Ids are taken again from the last one freed on.
    burst(&mut (0..OBJECTS).rev(), &mut trace);
    trace + "s regrown\n"
}

/// An object of every small size, and of sizes in steps beyond: what each is
/// rounded up to.
fn sizes() -> String {
    const MIB: u32 = 1 << 20;
    let sizes = (1..2049)
        .chain((2049..40_000).step_by(37))
        .chain([MIB, MIB + 1, 10 * MIB + 5]);
    let mut trace = format!("n {}\n", sizes.clone().count());
    for (id, size) in sizes.enumerate() {
        push(&mut trace, format_args!("a {id} {size}"));
    }
    trace + "g\ns sizes\n"
}

fn push(trace: &mut String, line: std::fmt::Arguments<'_>) {
    writeln!(trace, "{line}").expect("a String takes all that is written");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::{Item, Reader};

    #[test]
    fn every_trace_reads_and_has_the_snapshots_of_its_reference() {
        for shipped in all() {
            let mut labels = vec!["baseline".to_string()];
            for item in Reader::new(shipped.trace.as_bytes()) {
                if let Item::Snapshot(_, label) = item.expect(shipped.name) {
                    labels.push(label.into());
                }
            }
            let reference = shipped.reference().unwrap();
            let expected: Vec<_> = reference.snapshots.iter().map(|at| &at.label).collect();
            assert_eq!(
                labels.iter().collect::<Vec<_>>(),
                expected,
                "{}",
                shipped.name
            );
        }
    }
}
