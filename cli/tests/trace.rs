//! The reader of traces takes what the format allows and says what it does not.

use goheap_cli::trace::{Fault, Item, MAX_IDS, Op, Reader, Reason};
use proptest::prelude::*;

fn read(text: &[u8]) -> Result<Vec<Item<'_>>, Fault> {
    Reader::new(text).collect()
}

#[test]
fn every_operation_is_understood() {
    let text =
        b"# made by hand\nn 3\n\na 2 4096\nf 2\ng\no\np -1\nl 104857600\nw 500\ns after all\n";
    let expected = [
        Item::Ids(3),
        Item::Op(Op::Allocate { id: 2, size: 4096 }),
        Item::Op(Op::Free { id: 2 }),
        Item::Op(Op::Collect),
        Item::Op(Op::Release),
        Item::Op(Op::Percent(-1)),
        Item::Op(Op::Limit(104_857_600)),
        Item::Op(Op::Sleep(500)),
        Item::Snapshot(0, "after all"),
    ];
    assert_eq!(read(text).unwrap(), expected);
}

#[test]
fn blanks_comments_and_line_ends_are_let_pass() {
    let text =
        b"  # blanks before\r\n n  1 # one\r\n\ta 0\t7\r\ng # now\r\ns  a # stays \r\ns\nf 0";
    let expected = [
        Item::Ids(1),
        Item::Op(Op::Allocate { id: 0, size: 7 }),
        Item::Op(Op::Collect),
        Item::Snapshot(0, "a # stays"),
        Item::Snapshot(1, ""),
        Item::Op(Op::Free { id: 0 }),
    ];
    assert_eq!(read(text).unwrap(), expected);
}

#[test]
fn an_operation_takes_16_bytes() {
    assert_eq!(size_of::<Op>(), 16);
}

#[test]
fn a_broken_line_is_named_and_explained() {
    let cases: [(&[u8], usize, &str); 24] = [
        (b"", 1, "the first operation must be `n COUNT`"),
        (b"# nothing\n\n", 2, "the first operation must be `n COUNT`"),
        (
            b"# one\na 0 1\n",
            2,
            "the first operation must be `n COUNT`",
        ),
        (b"n 1\nn 1\n", 2, "`n` may stand there once only"),
        (b"n\n", 1, "the count is missing"),
        (
            b"n -1\n",
            1,
            "the count must be from 0 to 268435456, not -1",
        ),
        (
            b"n 268435457\n",
            1,
            "the count must be from 0 to 268435456, not 268435457",
        ),
        (
            b"n 1\nx 0\n",
            2,
            "unknown operation \"x\": none of n, a, f, g, o, p, l, w, s",
        ),
        (
            b"x\n",
            1,
            "unknown operation \"x\": none of n, a, f, g, o, p, l, w, s",
        ),
        (
            b"n 1\nalloc 0 1\n",
            2,
            "unknown operation \"alloc\": none of n, a, f, g, o, p, l, w, s",
        ),
        (
            b"n 1\n\xff\xfe\n",
            2,
            "unknown operation \"\u{fffd}\u{fffd}\": none of n, a, f, g, o, p, l, w, s",
        ),
        (b"n 1\na\n", 2, "the id is missing"),
        (b"n 1\na 0", 2, "the size is missing"),
        (b"n 1\na 0 # 5\n", 2, "the size is no decimal number: \"#\""),
        (b"n 1\na 0 1k\n", 2, "the size is no decimal number: \"1k\""),
        (b"n 1\na 0 +1\n", 2, "the size is no decimal number: \"+1\""),
        (b"n 1\na 0 -\n", 2, "the size is no decimal number: \"-\""),
        (
            b"n 1\na 0 -5\n",
            2,
            "the size must be from 0 to 9223372036854775807, not -5",
        ),
        (
            b"n 1\na 0 9223372036854775808\n",
            2,
            "the size must be from 0 to 9223372036854775807, not 9223372036854775808",
        ),
        (b"n 1\na 1 5\n", 2, "id 1 is not from 0 to below 1"),
        (b"n 1\nf -1\n", 2, "id -1 is not from 0 to below 1"),
        (
            b"n 1\nf 0 0\n",
            2,
            "the line should have ended before \"0\"",
        ),
        (
            b"n 1\ng\n\np 2147483648\n",
            4,
            "the percentage must be from -2147483648 to 2147483647, not 2147483648",
        ),
        (b"n 1\ns caf\xe9\n", 2, "the label is not UTF-8"),
    ];
    for (text, line, reason) in cases {
        let fault = read(text).expect_err(reason);
        assert_eq!(
            (fault.line, fault.reason.to_string().as_str()),
            (line, reason)
        );
    }
}

#[test]
fn what_is_quoted_does_not_fill_the_screen() {
    let fault = read(&[b'z'; 10_000]).unwrap_err();
    assert!(fault.reason.to_string().len() < 100);
}

#[test]
fn nothing_follows_a_fault() {
    let mut reader = Reader::new(b"n 1\nx\ng\n");
    assert_eq!(reader.next(), Some(Ok(Item::Ids(1))));
    assert!(matches!(
        reader.next(),
        Some(Err(Fault {
            line: 2,
            reason: Reason::Unknown(_)
        }))
    ));
    assert_eq!(reader.next(), None);
}

/// Lines that are nearly right, so that random ones get past the first test.
fn nearly_a_line() -> impl Strategy<Value = Vec<u8>> {
    let text = "[naf g o p l w s]{0,2} ?-?[0-9]{0,21}[ #x]{0,2}-?[0-9]{0,20}";
    prop_oneof![
        text.prop_map(String::into_bytes),
        proptest::collection::vec(any::<u8>(), 0..30),
    ]
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text: Vec<u8>) {
        check(&text)?;
    }

    #[test]
    fn no_lines_make_it_panic(lines in proptest::collection::vec(nearly_a_line(), 0..40), count: u16) {
        let mut text = format!("n {count}\n").into_bytes();
        text.extend(lines.join(&b'\n'));
        check(&text)?;
    }

    #[test]
    fn a_written_trace_reads_as_it_was_meant(ops in proptest::collection::vec((0..50_u32, 0..1_usize << 40), 0..60)) {
        let mut text = String::from("n 50\n");
        for (id, size) in &ops {
            text += &format!("a {id} {size}\n");
        }
        let read = read(text.as_bytes()).unwrap();
        let expected: Vec<_> =
            ops.iter().map(|&(id, size)| Item::Op(Op::Allocate { id, size })).collect();
        prop_assert_eq!(&read[1..], &expected);
    }
}

/// Whatever is read: a count first, ids below it, snapshots in order, and a fault
/// stands in a line that there is.
fn check(text: &[u8]) -> Result<(), TestCaseError> {
    let lines = text.split(|&byte| byte == b'\n').count();
    let (mut ids, mut snapshots) = (None, 0);
    for item in Reader::new(text) {
        match item {
            Ok(Item::Ids(count)) => {
                prop_assert_eq!(ids, None);
                prop_assert!(count <= MAX_IDS);
                ids = Some(count);
            }
            Ok(Item::Op(Op::Allocate { id, .. } | Op::Free { id })) => {
                prop_assert!(id < ids.unwrap())
            }
            Ok(Item::Op(_)) => prop_assert!(ids.is_some()),
            Ok(Item::Snapshot(index, _)) => {
                prop_assert_eq!(index, snapshots);
                snapshots += 1;
            }
            Err(fault) => {
                prop_assert!((1..=lines).contains(&fault.line));
                prop_assert!(!fault.reason.to_string().is_empty());
            }
        }
    }
    Ok(())
}
