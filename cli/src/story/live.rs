//! What a trace holds, from the trace alone.

use crate::trace::{Item, Op, Reader};

/// Bytes requested and not dropped at each snapshot, the baseline (0) first.
/// Stops at the first fault, if there is one.
pub fn at_snapshots(trace: &str) -> Vec<u64> {
    let mut held = Vec::new();
    let mut live = 0;
    let mut at = vec![0];
    for item in Reader::new(trace.as_bytes()).map_while(Result::ok) {
        match item {
            Item::Ids(count) => held.resize(count as usize, 0),
            Item::Op(Op::Allocate { id, size }) => {
                let before = std::mem::replace(&mut held[id as usize], size as u64);
                live = live - before + size as u64;
            }
            Item::Op(Op::Free { id }) => live -= std::mem::take(&mut held[id as usize]),
            Item::Op(_) => {}
            Item::Snapshot(..) => at.push(live),
        }
    }
    at
}

#[cfg(test)]
mod tests {
    use super::at_snapshots;

    #[test]
    fn what_is_dropped_or_replaced_is_no_longer_held() {
        let trace = "n 2\na 0 10\ns a\na 1 5\na 0 7\ns b\nf 0\nf 0\ng\ns c\n";
        assert_eq!(at_snapshots(trace), [0, 10, 12, 5]);
    }
}
