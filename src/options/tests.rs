//! What the environment may say, and what it cannot mean.

use super::values::bytes;
use super::*;

fn parse(environment: &[(&str, &'static str)]) -> (Options, Vec<String>) {
    let mut said = vec![];
    let find = |name: &CStr| {
        environment
            .iter()
            .find(|e| e.0.as_bytes() == name.to_bytes())
            .map(|e| e.1.as_bytes())
    };
    let options = Options::from_lookup(find, |line| {
        said.push(String::from_utf8(line.to_vec()).unwrap())
    });
    (options, said)
}

#[test]
fn gos_syntax_is_taken() {
    let (o, said) = parse(&[
        ("GOGC", "50"),
        ("GOMEMLIMIT", "512MiB"),
        ("GODEBUG", "gctrace=0,madvdontneed=0,foo=bar,gctrace=1"),
    ]);
    assert_eq!(said, [""; 0]);
    assert_eq!(
        (o.gc_percent, o.memory_limit, o.gctrace, o.madv_free),
        (50, 512 << 20, true, true)
    );
    let (o, _) = parse(&[("GOGC", "off"), ("GOMEMLIMIT", "off")]);
    assert_eq!((o.gc_percent, o.memory_limit), (-1, i64::MAX));
    for (text, percent) in [("-1", -1), ("-50", -1), ("-2147483648", -1), ("+5", 5)] {
        let (o, said) = parse(&[("GOGC", text)]);
        assert_eq!(said, [""; 0]);
        assert_eq!(o.gc_percent, percent, "GOGC={text}");
    }
    for (text, processors) in [
        ("1", 1),
        ("+5", 5),
        ("007", 7),
        ("2147483647", 2_147_483_647),
    ] {
        let (o, said) = parse(&[("GOMAXPROCS", text)]);
        assert_eq!(said, [""; 0]);
        assert_eq!(o.processors, processors, "GOMAXPROCS={text}");
    }
    for (text, n) in [
        ("7", 7),
        ("7B", 7),
        ("2KiB", 2 << 10),
        ("3GiB", 3 << 30),
        ("1TiB", 1 << 40),
        ("0", 0),
    ] {
        assert_eq!(bytes(text.as_bytes()), Some(n));
    }
}

#[test]
fn a_bad_value_is_named_and_the_default_holds() {
    for (name, bad) in [
        ("GOGC", "lots"),
        ("GOGC", "99999999999"),
        ("GOGC", "-99999999999"),
        ("GOGC", "--1"),
        ("GOGC", " 1"),
        ("GOMEMLIMIT", "2GB"),
        ("GOMEMLIMIT", "1.5GiB"),
        ("GOMEMLIMIT", "MiB"),
        ("GOMEMLIMIT", "99999999TiB"),
        ("GOMEMLIMIT", "-5"),
        ("GODEBUG", "gctrace=yes"),
        ("GODEBUG", "containermaxprocs=2"),
        ("GOMAXPROCS", "-1"),
        ("GOMAXPROCS", "abc"),
        ("GOMAXPROCS", "1.5"),
        ("GOMAXPROCS", "4 "),
        ("GOMAXPROCS", "0x10"),
        ("GOMAXPROCS", "2147483648"),
        ("GOHEAP_RECLAIM", "never"),
        ("GOHEAP_SCAVENGE_PERCENT", "NaN"),
        ("GOHEAP_SCAVENGE_PERCENT", "0"),
        ("GOHEAP_RETAIN_PERCENT", "10%"),
        ("GOHEAP_FORCED_CYCLE_PERIOD", "2m"),
        ("GOHEAP_POLICY", "go1.28"),
        ("GOHEAP_POLICY", "go1.0"),
        ("GOHEAP_POLICY", "1.3"),
        ("GOHEAP_POLICY", "go1.03"),
        ("GOHEAP_POLICY", "go1.3.1"),
        ("GOHEAP_POLICY", "go1."),
        ("GOHEAP_TIME_SCALE", "0"),
        ("GOHEAP_TIME_SCALE", "fast"),
        ("GOHEAP_POISON", "2"),
        ("GOHEAP_RANDOMIZE", "yes"),
        ("GOHEAP_GUARD", "1%"),
        ("GOHEAP_GUARD", "-1"),
        ("GOHEAP_HTTP", "127.0.0.1"),
        ("GOHEAP_HTTP", "127.0.0.1:65536"),
        ("GOHEAP_HTTP", "localhost"),
        ("GOHEAP_HTTP", "localhost6060"),
        ("GOHEAP_HTTP", "::1:6060"),
        ("GOHEAP_HTTP", "example.org:6060"),
        ("GOHEAP_HTTP", ":"),
    ] {
        let (o, said) = parse(&[(name, bad)]);
        assert_eq!(o, Options::DEFAULT, "{name}={bad}");
        assert!(
            said.len() == 1
                && said[0].starts_with(&format!("goheap: {name}={bad} is not"))
                && said[0].contains("takes"),
            "{said:?}"
        );
        assert!(said[0].ends_with('\n') && said[0].matches('\n').count() == 1);
    }
}

#[test]
fn a_policy_presets_what_its_own_knobs_may_change() {
    let (o, said) = parse(&[("GOHEAP_POLICY", "go1.3")]);
    assert_eq!((o.go, o.least_heap, o.madv_free), (3, 0, false));
    assert_eq!(said, [""; 0]);
    let (o, _) = parse(&[("GOHEAP_POLICY", "go1.13")]);
    assert_eq!((o.go, o.least_heap, o.madv_free), (13, 4 << 20, true));
    for (policy, processors, minds_quota) in [
        ("go1.4", 1, false),
        ("go1.5", 0, false),
        ("go1.24", 0, false),
        ("go1.25", 0, true),
    ] {
        let (o, _) = parse(&[("GOHEAP_POLICY", policy)]);
        let found = (o.processors, o.minds_quota);
        assert_eq!(found, (processors, minds_quota), "{policy}");
    }
    let (o, _) = parse(&[
        ("GOHEAP_POLICY", "go1.4"),
        ("GOMAXPROCS", "0"),
        ("GODEBUG", "containermaxprocs=1"),
    ]);
    assert_eq!((o.processors, o.minds_quota), (0, true));
    let (o, _) = parse(&[
        ("GOHEAP_POLICY", "go1.13"),
        ("GODEBUG", "madvdontneed=1"),
        ("GOHEAP_LEAST_HEAP", "1MiB"),
    ]);
    assert_eq!((o.go, o.least_heap, o.madv_free), (13, 1 << 20, false));
}

#[test]
fn an_address_is_loopback_unless_it_says_another() {
    for (text, address) in [
        ("6060", "127.0.0.1:6060"),
        (":6060", "127.0.0.1:6060"),
        ("localhost:0", "127.0.0.1:0"),
        ("127.0.0.1:6060", "127.0.0.1:6060"),
        ("[::1]:6060", "[::1]:6060"),
        ("0.0.0.0:80", "0.0.0.0:80"),
        ("10.0.0.7:6060", "10.0.0.7:6060"),
    ] {
        let (o, said) = parse(&[("GOHEAP_HTTP", text)]);
        assert_eq!((o.http, said.len()), (address.parse().ok(), 0), "{text}");
    }
}

#[test]
fn with_more_rights_than_its_user_a_process_opens_nothing_and_is_tuned_all_the_same() {
    let memory = [
        ("GOGC", "50"),
        ("GOMEMLIMIT", "1GiB"),
        ("GOHEAP_POISON", "1"),
    ];
    let outward = [
        ("GOHEAP_HTTP", "6060"),
        ("GOHEAP_PROFILE_AT_EXIT", "1"),
        ("GOHEAP_PUBLISH", "1"),
    ];
    let (asked, _) = parse(&[memory, outward].concat());
    let (tuned, _) = parse(&memory);
    assert_eq!(
        asked.within_the_process(),
        Options {
            publish: false,
            ..tuned
        }
    );
}

#[test]
fn an_empty_variable_says_nothing() {
    assert_eq!(
        parse(&[("GOGC", ""), ("GOMEMLIMIT", ""), ("GODEBUG", "")]),
        (Options::DEFAULT, vec![])
    );
}

#[test]
fn the_defaults_shown_are_the_defaults_that_hold_under_each_policy() {
    for go in 1..=NEWEST {
        let preset = set_one("GOHEAP_POLICY", format!("go1.{go}").as_bytes()).unwrap();
        for knob in KNOBS.iter().filter(|knob| knob.name != "GOHEAP_POLICY") {
            let default = knob.default_under(go);
            let mut o = preset;
            assert!((knob.set)(&mut o, default.as_bytes()), "{}", knob.name);
            assert_eq!(o, preset, "go1.{go}: {}={default}", knob.name);
        }
    }
    for knob in KNOBS {
        assert_eq!(knob.default_under(NEWEST), knob.default, "{}", knob.name);
    }
    assert_eq!(
        set_one("GOHEAP_POLICY", KNOBS[0].default.as_bytes()),
        Ok(Options::DEFAULT)
    );
}

#[test]
fn a_bad_value_is_told_the_default_of_the_policy_that_holds() {
    let (_, said) = parse(&[("GOHEAP_POLICY", "go1.13"), ("GODEBUG", "madvdontneed=no")]);
    assert!(said[0].ends_with("; using 0\n"), "{said:?}");
    let (_, said) = parse(&[("GOHEAP_POLICY", "go1.1"), ("GOHEAP_LEAST_HEAP", "4MB")]);
    assert!(said[0].ends_with("; using 0\n"), "{said:?}");
    let (_, said) = parse(&[("GOHEAP_POLICY", "go1.99"), ("GOHEAP_TINY", "no")]);
    assert!(said[0].ends_with("; using go1.27\n"), "{said:?}");
    assert!(said[1].ends_with("; using 1\n"), "{said:?}");
}
