use super::pprof::Profile;
use super::*;
use flate2::read::GzDecoder;
use prost::Message;
use std::io::Read;

fn site(stack: &[u64], slot_bytes: u64, allocs: i64, frees: i64) -> Site {
    Site {
        stack: stack.to_vec(),
        slot_bytes,
        allocs,
        frees,
        requested: (allocs - frees) * slot_bytes as i64 / 2,
        held: (allocs - frees) as f64 * 8192.0,
    }
}

fn samples(sites: Vec<Site>) -> Samples {
    Samples {
        rate: 512 << 10,
        taken_ns: 5_000,
        duration_ns: 4_000,
        comments: vec!["as a test".to_owned()],
        sites,
    }
}

#[test]
fn a_sample_stands_for_as_many_objects_as_its_probability_says() {
    // Go's own figures: one in 8,192 objects of 64 bytes, and a half more; large ones stand for themselves.
    assert!((objects_per_sample(64, 512 << 10) - 8192.5).abs() < 0.01);
    assert!((objects_per_sample(512 << 10, 512 << 10) - 1.581_976_7).abs() < 1e-6);
    assert!((objects_per_sample(64 << 20, 512 << 10) - 1.0).abs() < 1e-9);
    assert_eq!(objects_per_sample(64, 1), 1.0);
    assert_eq!(objects_per_sample(64, 0), 1.0);
    assert_eq!(objects_per_sample(0, 512 << 10), 1.0);
}

#[test]
fn what_a_site_stands_for_is_in_proportion() {
    let e = site(&[1], 1024, 10, 4).estimate(512 << 10);
    let scale = objects_per_sample(1024, 512 << 10);
    assert_eq!(e.alloc_objects, 10.0 * scale);
    assert_eq!(e.alloc_space, 10.0 * scale * 1024.0);
    assert_eq!(e.inuse_objects, 6.0 * scale);
    assert_eq!(e.inuse_space, 6.0 * 1024.0 * scale);
    assert_eq!(e.requested, 3.0 * 1024.0 * scale);
    assert_eq!(e.held_space, 6.0 * 8192.0 * scale);
}

#[test]
fn a_difference_has_what_came_and_what_went() {
    let before = samples(vec![
        site(&[1], 64, 10, 2),
        site(&[2], 64, 5, 0),
        site(&[1], 128, 1, 0),
        site(&[4], 64, 5, 1),
        site(&[5], 64, 5, 1),
    ]);
    let mut now = samples(vec![
        site(&[1], 64, 12, 9),
        site(&[2], 64, 5, 0),
        site(&[3], 64, 1, 0),
        site(&[4], 64, 5, 3),
        site(&[5], 64, 5, 1),
    ]);
    // Its neighbours in its spans are gone.
    now.sites[4].held += 100.0;
    now.taken_ns = 9_000;
    let since = now.since(&before);
    assert_eq!(since.duration_ns, 4_000);
    let find = |stack: u64, bytes: u64| {
        let mut sites = since.sites.iter();
        sites.find(|s| s.stack == [stack] && s.slot_bytes == bytes)
    };
    let changed = find(1, 64).expect("it changed");
    assert_eq!((changed.allocs, changed.frees), (2, 7));
    assert_eq!(changed.requested, -5 * 32);
    assert_eq!(find(4, 64).map(|s| (s.allocs, s.frees)), Some((0, 2)));
    let held = find(5, 64).map(|s| (s.allocs, s.frees, s.held));
    assert_eq!(held, Some((0, 0, 100.0)));
    assert!(changed.estimate(512 << 10).inuse_objects < 0.0);
    assert_eq!(find(2, 64), None, "nothing happened there");
    assert_eq!(find(3, 64).map(|s| s.allocs), Some(1));
}

#[test]
fn all_sites_together_stand_for_the_sum_of_each() {
    let all = samples(vec![site(&[1], 64, 10, 2), site(&[2], 4096, 5, 1)]);
    let [a, b] = [0, 1].map(|i: usize| all.sites[i].estimate(all.rate));
    let sum = Estimate {
        alloc_objects: a.alloc_objects + b.alloc_objects,
        alloc_space: a.alloc_space + b.alloc_space,
        inuse_objects: a.inuse_objects + b.inuse_objects,
        inuse_space: a.inuse_space + b.inuse_space,
        held_space: a.held_space + b.held_space,
        requested: a.requested + b.requested,
    };
    assert_eq!(all.total(), sum);
}

fn symbols() -> Symbols {
    let frame = |function: &str, line| Frame {
        function: function.to_owned(),
        linked_as: format!("_{function}"),
        file: "src/main.rs".to_owned(),
        line,
    };
    Symbols {
        mappings: vec![Mapping {
            start: 0x1000,
            end: 0x2000,
            offset: 0x400,
            file: "/bin/app".to_owned(),
            build_id: "c0ffee".to_owned(),
        }],
        frames: HashMap::from([
            (0x1010, vec![frame("goheap::slow::alloc", 1)]),
            (
                0x1020,
                vec![frame("alloc::vec::push", 2), frame("app::fill", 3)],
            ),
            (0x1030, vec![frame("main", 4)]),
        ]),
    }
}

#[test]
fn what_is_written_is_a_whole_profile() {
    let from = samples(vec![
        site(&[0x1011, 0x1021, 0x1031], 64, 3, 1),
        site(&[0x1021, 0x1031], 1 << 20, 1, 0),
        site(&[], 64, 1, 1),
    ]);
    let mut gzip = Vec::new();
    from.write_pprof(&symbols(), Shown::InUse, &mut gzip)
        .expect("a vector takes all");
    let mut bytes = Vec::new();
    GzDecoder::new(&gzip[..])
        .read_to_end(&mut bytes)
        .expect("gzip");
    let p = Profile::decode(&bytes[..]).expect("the profile's own message");
    let text = |number: i64| p.string_table[number as usize].as_str();
    assert_eq!(text(0), "");
    let types: Vec<_> = p
        .sample_type
        .iter()
        .map(|t| (text(t.r#type), text(t.unit)))
        .collect();
    assert_eq!(types, SAMPLE_TYPES);
    assert_eq!(text(p.default_sample_type), "inuse_space");
    assert_eq!(
        (p.period, p.time_nanos, p.duration_nanos),
        (512 << 10, 5_000, 4_000)
    );
    assert_eq!(text(p.comment[0]), "as a test");
    assert_eq!(text(p.mapping[0].build_id), "c0ffee");
    assert!(p.mapping[0].has_functions && p.mapping[0].has_line_numbers);
    let functions = |sample: usize| -> Vec<Vec<&str>> {
        let names = |id: &u64| {
            let location = p.location.iter().find(|l| l.id == *id).expect("a location");
            assert_eq!(location.mapping_id, 1);
            let lines = location.line.iter();
            lines
                .map(|l| text(p.function[l.function_id as usize - 1].name))
                .collect()
        };
        p.sample[sample].location_id.iter().map(names).collect()
    };
    // The allocator's frames are left out, the vector's as well, though it shares its address with its caller.
    assert_eq!(functions(0), [["app::fill"], ["main"]]);
    assert_eq!(functions(0), functions(1));
    assert!(functions(2).is_empty());
    assert_eq!(p.location.len(), 2, "both stacks share them");
    for (sample, site) in p.sample.iter().zip(&from.sites) {
        let e = site.estimate(from.rate);
        let close = |value: i64, of: f64| (value as f64 - of).abs() <= 0.5;
        assert!(close(sample.value[0], e.alloc_objects) && close(sample.value[3], e.inuse_space));
        assert!(close(sample.value[4], e.held_space));
        assert_eq!(sample.label[0].num, site.slot_bytes as i64);
    }
}

#[test]
fn each_mapping_says_what_is_known_in_it() {
    let mut symbols = symbols();
    let program = symbols.mappings[0].clone();
    let at = |start: u64| Mapping {
        start,
        end: start + 0x1000,
        ..program.clone()
    };
    symbols.mappings.extend([at(0x2000), at(0x3000)]);
    // A library without debug information: its functions have names, and nothing more.
    let exported = Frame {
        function: "exported".to_owned(),
        ..Frame::default()
    };
    symbols.frames.insert(0x2010, vec![exported]);
    let stack = [0x1021, 0x2011, 0x3011, 0x4011];
    let p = samples(vec![site(&stack, 64, 1, 0)]).to_proto(&symbols, Shown::InUse);
    let known = p.mapping.iter().map(|m| {
        (
            m.id,
            [
                m.has_functions,
                m.has_filenames,
                m.has_line_numbers,
                m.has_inline_frames,
            ],
        )
    });
    assert_eq!(
        known.collect::<Vec<_>>(),
        [
            (1, [true; 4]),
            (2, [true, false, false, false]),
            (3, [false; 4])
        ]
    );
    let places = p.location.iter().map(|l| (l.id, l.mapping_id, l.address));
    let expected = [
        (1, 1, 0x1020),
        (2, 2, 0x2010),
        (3, 3, 0x3010),
        (4, 0, 0x4010),
    ];
    assert_eq!(places.collect::<Vec<_>>(), expected);
    assert_eq!(p.sample[0].location_id, [1, 2, 3, 4]);
}

#[test]
fn the_text_is_gos() {
    let mut text = Vec::new();
    let from = samples(vec![site(&[0x1011, 0x1021, 0x1031, 0x9001], 64, 3, 1)]);
    from.write_text(
        &symbols(),
        &crate::MemStats::zeroed(),
        Some(4096),
        &mut text,
    )
    .expect("a vector takes all");
    let text = String::from_utf8(text).expect("text");
    let mut lines = text.lines();
    assert_eq!(
        lines.next(),
        Some("heap profile: 2: 128 [3: 192] @ heap/1048576")
    );
    assert_eq!(
        lines.next(),
        Some("2: 128 [3: 192] @ 0x1011 0x1021 0x1031 0x9001")
    );
    let shown: Vec<_> = lines.by_ref().take_while(|line| !line.is_empty()).collect();
    let expected = [
        "#\t0x1021\tapp::fill\t\tsrc/main.rs:3",
        "#\t0x1031\tmain\t\tsrc/main.rs:4",
        "#\t0x9001",
    ];
    assert_eq!(shown, expected, "as Go leaves out its runtime's");
    assert!(
        text.contains("\n# runtime.MemStats\n# Alloc = 0\n"),
        "{text}"
    );
    assert!(
        text.ends_with("\n# DebugGC = false\n# MaxRSS = 4096\n"),
        "{text}"
    );
}

#[test]
fn a_text_of_what_all_lives_tells_pprof_that_it_has_what_was_allocated() {
    let mut text = Vec::new();
    samples(vec![site(&[0x1021], 64, 2, 0)])
        .write_text(&symbols(), &crate::MemStats::zeroed(), None, &mut text)
        .expect("a vector takes all");
    let text = String::from_utf8(text).expect("text");
    assert!(
        text.starts_with("heap profile: 2: 128 [2: 129] @ heap/1048576\n2: 128 [2: 128] @"),
        "{text}"
    );
    assert!(!text.contains("MaxRSS"), "{text}");
}
