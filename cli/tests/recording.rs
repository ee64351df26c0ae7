//! A recording reads back as it was written, up to where it stops, and what is wrong in it is named.

use std::collections::HashSet;

use goheap_cli::trace::event::{Act, Broken, Event, Events, Place};
use goheap_cli::trace::recording::{Head, MAGIC, Reader, Total, VERSION, Writer};
use proptest::prelude::*;

fn head() -> Head {
    Head {
        program: vec!["a program".into(), "its argument".into()],
        pid: 77,
        started: 1_700_000_000,
    }
}

/// A recording of these events; a flush after each so-and-so-many-th, so that there are blocks.
fn written(events: &[Event], flush_after: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer = Writer::new(&mut bytes, &head()).unwrap();
    for (at, &event) in events.iter().enumerate() {
        writer.push(event).unwrap();
        if at % flush_after == flush_after - 1 {
            writer.flush().unwrap();
        }
    }
    writer.finish(1 << 40, 3, 4).unwrap();
    bytes
}

/// What can be read, and how it ends.
fn read(bytes: &[u8]) -> (Vec<Event>, Result<Option<Place>, Broken>, Option<Total>) {
    let mut reader = match Reader::new(bytes) {
        Ok(reader) => reader,
        Err(broken) => return (Vec::new(), Err(broken), None),
    };
    let mut events = Vec::new();
    for event in reader.by_ref() {
        match event {
            Ok(event) => events.push(event),
            Err(broken) => return (events, Err(broken), None),
        }
    }
    let total = reader.total().cloned();
    (events, Ok(reader.cut()), total)
}

fn any_act() -> impl Strategy<Value = Act> {
    let id = || prop_oneof![0..20_u32, 0..1_u32 << 28];
    let size = || prop_oneof![0..300_usize, 0..=isize::MAX as usize];
    prop_oneof![
        (
            id(),
            size(),
            prop_oneof![Just(0_u8), 1..=30_u8],
            any::<bool>()
        )
            .prop_map(|(id, size, align, zeroed)| Act::Allocate {
                id,
                size,
                align,
                zeroed
            }),
        (id(), size()).prop_map(|(id, size)| Act::Reallocate { id, size }),
        id().prop_map(|id| Act::Free { id }),
    ]
}

fn any_events() -> impl Strategy<Value = Vec<Event>> {
    let pause = prop_oneof![0..40_u64, 0..1_u64 << 30];
    let thread = prop_oneof![Just(0_u32), 0..3_u32, 0..1_u32 << 22];
    let all = proptest::collection::vec((pause, thread, any_act()), 0..200);
    all.prop_map(|all| {
        let mut micros = 0;
        let event = |(pause, thread, act)| {
            micros += pause;
            Event {
                micros,
                thread,
                act,
            }
        };
        all.into_iter().map(event).collect()
    })
}

proptest! {
    #[test]
    fn what_was_written_is_read(events in any_events(), flush_after in 1..300_usize) {
        let bytes = written(&events, flush_after);
        let (got, end, total) = read(&bytes);
        prop_assert_eq!(&got, &events);
        prop_assert_eq!(end, Ok(None));
        let total = total.unwrap();
        let threads: Option<u32> = events.iter().map(|event| event.thread + 1).max();
        prop_assert_eq!(total.events, events.len() as u64);
        prop_assert_eq!(total.threads, threads.unwrap_or(0));
        prop_assert_eq!((total.micros, total.unknown, total.lost), (1 << 40, 3, 4));
    }

    #[test]
    fn a_file_that_stops_anywhere_is_read_up_to_there(events in any_events(), flush_after in 1..20_usize, share in 0.0..1.0_f64) {
        let bytes = written(&events, flush_after);
        let kept = (bytes.len() as f64 * share) as usize;
        prop_assume!(kept >= MAGIC.len());
        let (got, end, total) = read(&bytes[..kept]);
        // A prefix of the events, of whole blocks, and where the last one ends.
        prop_assert_eq!(&got[..], &events[..got.len()]);
        prop_assert!(got.len() % flush_after == 0 || got.len() == events.len());
        let Ok(Some(Place::Byte(at))) = end else {
            panic!("{end:?}");
        };
        prop_assert!(at <= kept as u64);
        prop_assert_eq!(total, None);
        // No whole block is left out.
        let (more, ..) = read(&bytes[..at as usize]);
        prop_assert_eq!(more, got);
    }

    #[test]
    fn a_damaged_byte_is_never_taken_for_other_events(events in any_events(), at: prop::sample::Index, mask in 1..=255_u8) {
        let mut bytes = written(&events, 50);
        let (.., whole) = read(&bytes);
        let at = at.index(bytes.len());
        bytes[at] ^= mask;
        let (got, end, total) = read(&bytes);
        prop_assert_eq!(&got[..], &events[..got.len()]);
        // A bit that says nothing to zstd may go unnoticed, since nothing else is then read.
        if end == Ok(None) {
            prop_assert_eq!(got.len(), events.len(), "the damage at byte {} lost events", at);
            prop_assert_eq!(total, whole);
        }
    }

    #[test]
    fn no_bytes_make_it_panic(bytes: Vec<u8>) {
        let mut file = MAGIC.to_vec();
        file.extend(VERSION.to_le_bytes());
        file.extend(bytes);
        let (_, end, total) = read(&file);
        prop_assert!(end != Ok(None) || total.is_some());
    }
}

#[test]
fn a_million_events_in_a_row_take_few_bytes() {
    let event = |n: u32| Event {
        micros: u64::from(n),
        thread: 0,
        act: match n % 2 {
            0 => Act::Allocate {
                id: 5,
                size: 100,
                align: 0,
                zeroed: false,
            },
            _ => Act::Free { id: 5 },
        },
    };
    let events: Vec<_> = (0..1_000_000).map(event).collect();
    let bytes = written(&events, usize::MAX);
    assert!(bytes.len() < 100_000, "{} bytes", bytes.len());
    assert_eq!(read(&bytes).0, events);
}

#[test]
fn whose_recording_it_is_stands_in_its_head() {
    let bytes = written(&[], 1);
    assert_eq!(Reader::new(&bytes[..]).unwrap().head(), &head());
}

#[test]
fn what_is_wrong_is_named_with_its_byte() {
    let event = Event {
        micros: 1,
        thread: 0,
        act: Act::Free { id: 0 },
    };
    let good = written(&[event; 100], 50);
    let mut seen = HashSet::new();
    let mut check = |change: &dyn Fn(&mut Vec<u8>), at: u64, reason: &str| {
        let mut bytes = good.clone();
        change(&mut bytes);
        let broken = read(&bytes).1.expect_err(reason);
        assert_eq!(broken.at, Place::Byte(at), "{reason}");
        assert!(broken.reason.starts_with(reason), "{}", broken.reason);
        assert!(seen.insert(reason.to_owned()));
    };
    check(
        &|bytes| bytes[1] = b'G',
        0,
        "no recording of goheap begins like this",
    );
    check(
        &|bytes| bytes[8] = 2,
        8,
        "the recording is of version 2; this goheap reads 1",
    );
    check(&|bytes| bytes[12] = b'E', 12, "the head is missing");
    check(&|bytes| bytes[12] = b'?', 12, "no block begins like this");
    let head = 12 + 9 + u64::from(good[17]);
    let in_frame = head as usize + 9 + 12;
    check(
        &|bytes| bytes[in_frame] ^= 0x55,
        head,
        "the block is damaged: ",
    );
    check(&|bytes| bytes[head as usize] = b'H', head, "a second head");
}
