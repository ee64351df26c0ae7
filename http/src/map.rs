//! The heap's address space in some thousand cells, for the live page to draw.

use goheap_stats::map::{Run, State};
use serde::Serialize;

/// Cells at the most, or a few more where the heap has several regions.
const CELLS: u64 = 4096;
const PAGE: u64 = 8192;
/// Things that a cell holds.
const KINDS: usize = 6;

/// The map.
#[derive(Debug, Serialize)]
pub struct Map {
    /// Bytes of a cell.
    cell: u64,
    /// What each number of a cell is about.
    kinds: [&'static str; KINDS],
    regions: Vec<Region>,
}

/// Cells in a row.
#[derive(Debug, Serialize)]
struct Region {
    /// Of the first one, in hexadecimal.
    address: String,
    /// Bytes of each kind.
    cells: Vec<[u64; KINDS]>,
    #[serde(skip)]
    from: u64,
    #[serde(skip)]
    to: u64,
}

impl Map {
    /// An empty one for a heap of so many bytes.
    pub fn new(heap: u64) -> Self {
        Self {
            cell: heap.div_ceil(CELLS).max(PAGE).next_power_of_two(),
            kinds: [
                "live",
                "dead",
                "free slots",
                "retained",
                "released",
                "stacks",
            ],
            regions: Vec::new(),
        }
    }

    /// Adds the next run by address.
    pub fn add(&mut self, run: &Run) {
        let cell = self.cell;
        if self
            .regions
            .last()
            .is_none_or(|region| region.to != run.address)
        {
            let from = run.address - run.address % cell;
            self.regions.push(Region {
                address: format!("{from:#x}"),
                cells: Vec::new(),
                from,
                to: run.address,
            });
        }
        let Some(region) = self.regions.last_mut() else {
            return;
        };
        let held = held(run);
        let end = run.address + run.bytes;
        let mut at = run.address;
        while at < end {
            let number = (at - region.from) / cell;
            let next = (region.from + (number + 1) * cell).min(end);
            region.cells.resize((number + 1) as usize, [0; KINDS]);
            let share = |bytes: u64| {
                // What a run holds is spread evenly over it.
                (u128::from(bytes) * u128::from(next - at) / u128::from(run.bytes)) as u64
            };
            if let Some(cell) = region.cells.last_mut() {
                for (sum, bytes) in cell.iter_mut().zip(held) {
                    *sum += share(bytes);
                }
            }
            at = next;
        }
        region.to = end;
    }
}

/// What a run holds, by kind.
fn held(run: &Run) -> [u64; KINDS] {
    let mut held = [0; KINDS];
    let kind = match run.state {
        State::Retained | State::SetAside => 3,
        state if state.is_released() => 4,
        State::Stacks => 5,
        _ => {
            held[0] = run.live_bytes().min(run.bytes);
            held[1] = run.dead_bytes().min(run.bytes - held[0]);
            held[2] = run.bytes - held[0] - held[1];
            return held;
        }
    };
    held[kind] = run.bytes;
    held
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_hold_what_the_runs_hold() {
        let mut map = Map::new(1 << 30);
        assert_eq!(map.cell, 256 << 10);
        let span = Run {
            slot_bytes: 1 << 19,
            slots: 1,
            live: 1,
            ..Run::idle(64 << 20, 1 << 19, State::InUse)
        };
        map.add(&span);
        map.add(&Run::idle((64 << 20) + (1 << 19), PAGE, State::Retained));
        // Elsewhere, and beginning in the middle of a cell.
        map.add(&Run::idle((1 << 40) + 3 * PAGE, 1 << 20, State::Released));
        assert_eq!(map.regions.len(), 2);
        let whole = [256 << 10, 0, 0, 0, 0, 0];
        assert_eq!(map.regions[0].cells, [whole, whole, [0, 0, 0, PAGE, 0, 0]]);
        assert_eq!(map.regions[1].address, "0x10000000000");
        let released: u64 = map.regions[1].cells.iter().map(|cell| cell[4]).sum();
        assert_eq!((released, map.regions[1].cells.len()), (1 << 20, 5));
    }

    #[test]
    fn a_spans_rest_is_free() {
        let span = Run {
            slot_bytes: 1000,
            slots: 8,
            live: 3,
            dead: 2,
            ..Run::idle(0, PAGE, State::Unswept)
        };
        assert_eq!(held(&span), [3000, 2000, 3192, 0, 0, 0]);
    }
}
