//! Recordings of heaptrack are read as it meant them: raw or interpreted, packed or not, whole or cut off.

mod support;

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Command;

use flate2::Compression;
use flate2::write::GzEncoder;
use goheap_cli::trace::event::{Act, Event, Place};
use goheap_cli::trace::heaptrack::Reader;
use goheap_cli::trace::open::{Form, open};
use tempfile::TempDir;

use support::{goheap, read, run, text, written};

/// A program that heaptrack saw: three allocations, of which two are of one size and place.
const INTERPRETED: &str = "v 10400 3\nX /bin/program x\nI 1000 5e298d\ns d /bin/program\n\
    i 7f25 1 0\nt 1 0\na 20 1\n+ 0\n+ 0\nc a\na 3e8 1\n+ 1\n- 0\n# strings: 1\n+ 0\nR 1a0\n";
/// The same, as it is before it is interpreted; and an address that is given again unseen.
const RAW: &str = "v 10400 3\nx d /bin/program\nm 1 x 558bb53dd000 0 48d28\nt 7f25 0\n\
    + 20 1 1000\n+ 20 1 1020\nc a\n+ 3e8 1 2000\n- 1000\n- 77\n+ 40 1 1020\n";

fn allocate(micros: u64, id: u32, size: usize) -> Event {
    Event {
        micros,
        thread: 0,
        act: Act::Allocate {
            id,
            size,
            align: 0,
            zeroed: false,
        },
    }
}

fn free(micros: u64, id: u32) -> Event {
    Event {
        micros,
        thread: 0,
        act: Act::Free { id },
    }
}

#[track_caller]
fn events(file: &Path) -> (Vec<Event>, Option<Place>) {
    let Form::Recorded(mut events) = open(file).unwrap() else {
        panic!("taken for a text");
    };
    let all = events.by_ref().map(Result::unwrap).collect();
    (all, events.cut())
}

fn packed(how: &str, content: &[u8]) -> Vec<u8> {
    match how {
        "gzip" => {
            let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
            gzip.write_all(content).unwrap();
            gzip.finish().unwrap()
        }
        "zstd" => zstd::encode_all(content, 3).unwrap(),
        _ => content.to_vec(),
    }
}

#[test]
fn an_interpreted_recording_says_of_which_kind_an_object_was() {
    let expected = [
        allocate(0, 0, 32),
        allocate(0, 1, 32),
        allocate(10_000, 2, 1000),
        // The newest of its kind.
        free(10_000, 1),
        allocate(10_000, 1, 32),
    ];
    for how in ["plain", "gzip", "zstd"] {
        let file = written(packed(how, INTERPRETED.as_bytes()));
        assert_eq!(events(file.path()), (expected.to_vec(), None), "{how}");
    }
}

#[test]
fn a_raw_recording_says_which_object_it_was() {
    let expected = [
        allocate(0, 0, 32),
        allocate(0, 1, 32),
        allocate(10_000, 2, 1000),
        free(10_000, 0),
        // What is at 1020 now says that what was there is gone.
        free(10_000, 1),
        allocate(10_000, 0, 64),
    ];
    for how in ["plain", "gzip", "zstd"] {
        let file = written(packed(how, RAW.as_bytes()));
        assert_eq!(events(file.path()), (expected.to_vec(), None), "{how}");
    }
}

#[test]
fn a_recording_that_stops_is_read_up_to_there() {
    let whole = INTERPRETED.find("+ 1\n").unwrap() + 2;
    let file = written(&INTERPRETED[..whole]);
    let (got, cut) = events(file.path());
    assert_eq!(got, [allocate(0, 0, 32), allocate(0, 1, 32)]);
    assert_eq!(cut, Some(Place::Line(12)));
    // Packed, what is lost is more than a line.
    let many = format!("v 10400 3\na 20 1\n{}", "+ 0\nc a\nc b\n".repeat(100_000));
    for how in ["gzip", "zstd"] {
        let bytes = packed(how, many.as_bytes());
        let file = written(&bytes[..bytes.len() * 9 / 10]);
        let (got, cut) = events(file.path());
        assert!(matches!(cut, Some(Place::Line(_))), "{how}");
        assert!(got.len() < 100_000, "{how}");
        let output = run(file.path());
        assert!(output.status.success(), "{how}: {}", text(&output.stderr));
        let said = text(&output.stderr);
        assert!(
            said.contains("the recording stops before its end"),
            "{said}"
        );
    }
}

#[test]
fn what_is_wrong_is_named_with_its_line() {
    let cases = [
        (
            "v 10400 9\n",
            1,
            "heaptrack's format is 9; this goheap reads 1 to 3",
        ),
        ("v 10400\n", 1, "the record ends too early"),
        (
            "v 10400 3\na 20 1\n+ 1\n",
            3,
            "no allocation has the number 1",
        ),
        ("v 10400 3\na zz 1\n", 2, "no hexadecimal number: \"zz\""),
        ("v 10400 3\n+ 20 1 -5\n", 2, "no hexadecimal number: \"-5\""),
        ("v 10400 3\na 20 1\n-\n", 3, "the record ends too early"),
    ];
    for (content, line, reason) in cases {
        let file = written(content);
        let output = run(file.path());
        let expected = format!("{}:{line}: {reason}\n", file.path().display());
        assert_eq!(text(&output.stderr), expected);
        assert_eq!(output.status.code(), Some(1));
        assert_eq!(text(&output.stdout), "");
    }
    let file = written(packed("gzip", b"n 1\na 0 5\n"));
    let said = text(&run(file.path()).stderr);
    assert!(
        said.ends_with("it is packed, and what is in it is no recording of heaptrack\n"),
        "{said}"
    );
}

#[test]
fn no_lines_make_it_panic() {
    // Records of few words over few numbers, in every order of three.
    let records = [
        "v 1 3",
        "a 20 1",
        "+ 0",
        "+ 1",
        "- 0",
        "+ 20 1 64",
        "- 64",
        "c 5",
        "+",
        "",
        "\u{fffd}",
    ];
    for a in records {
        for b in records {
            for c in records {
                let content = format!("v 1 3\n{a}\n{b}\n{c}\n");
                let mut reader = Reader::new(content.as_bytes());
                let count = reader.by_ref().count();
                assert!(count <= 7 && reader.next().is_none());
            }
        }
    }
}

#[test]
fn what_heaptrack_itself_records_is_replayed() {
    let folder = TempDir::new().unwrap();
    for raw in [false, true] {
        let mut command = Command::new("heaptrack");
        if raw {
            command.arg("--raw");
        }
        let base = folder.path().join(format!("of-perl-{raw}"));
        let script = "my @a = map { 'x' x $_ } 1..5000; undef @a; print 1";
        let output = command
            .arg("-o")
            .arg(&base)
            .args(["/usr/bin/perl", "-e", script])
            .output();
        let Ok(output) = output else {
            println!("skipped: there is no heaptrack");
            return;
        };
        assert!(output.status.success(), "{}", text(&output.stderr));
        let name = base.file_name().unwrap().to_str().unwrap();
        let file = fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .find(|path| {
                path.file_name()
                    .unwrap()
                    .to_str()
                    .unwrap()
                    .starts_with(name)
            })
            .expect("heaptrack has written it");
        let (events, cut) = events(&file);
        assert_eq!(cut, None);
        let allocations = events
            .iter()
            .filter(|event| matches!(event.act, Act::Allocate { .. }))
            .count() as u64;
        assert!(allocations > 5000, "{allocations}");
        let output = goheap().arg("replay").arg(&file).output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
        let lines: Vec<_> = text(&output.stdout).lines().map(str::to_owned).collect();
        let records = read(&lines);
        let mallocs = records[20].mem_stats.mallocs - records[0].mem_stats.mallocs;
        assert!(
            (allocations..allocations + 100).contains(&mallocs),
            "{mallocs} of {allocations}"
        );
    }
}
