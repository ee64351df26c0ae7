//! Real programs do on the library what they do without it: same output, same exit.
//!
//! Each runs on both at once. The library prints its trace of cycles, which shows that it served the
//! program. Programs that are not there are left out, with the reason printed;
//! `GOHEAP_TEST_EFFORT` makes the long ones run at full length.

mod support;

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;

use support::child::Outcome;
use support::{full_length, installed, plain, preloaded, scratch, skip, wait};

/// Runs the program on libc's malloc and, at the same time, on the library, each set up by `configure`,
/// which is told which of the two it is.
fn on_both(program: &Path, configure: impl Fn(&mut Command, &str)) -> [Outcome; 2] {
    let (mut without, mut with) = (plain(program), preloaded(program));
    configure(&mut without, "without");
    configure(&mut with, "with");
    let without = thread::spawn(|| wait(without));
    let with = wait(with);
    [without.join().expect("the program was waited for"), with]
}

/// The same. Fails unless the program does on the library what it does without, and the library had
/// cycles in it.
#[track_caller]
fn same_on_both(program: &Path, configure: impl Fn(&mut Command, &str)) -> Outcome {
    let [without, with] = on_both(program, |command, which| {
        configure(command, which);
        if which == "with" {
            command.env("GODEBUG", "gctrace=1");
        }
    });
    let (traced, said): (Vec<&str>, Vec<&str>) = with
        .stderr
        .lines()
        .partition(|line| line.starts_with("gc ") && line.contains(" MB goal"));
    assert_eq!(
        with.status, without.status,
        "with: {with}\nwithout: {without}"
    );
    assert!(
        with.stdout == without.stdout,
        "with: {with}\nwithout: {without}"
    );
    assert_eq!(said, without.stderr.lines().collect::<Vec<_>>());
    assert!(
        !traced.is_empty(),
        "the library did not serve {}",
        program.display()
    );
    without
}

/// The same, for a program that succeeds.
#[track_caller]
fn succeeds_on_both(program: &str, configure: impl Fn(&mut Command, &str)) {
    if let Some(path) = installed(program) {
        same_on_both(&path, configure).expect_success();
    }
}

/// Pseudo-random lines of text of 64 bytes, the same each time.
fn lines(name: &str, bytes: usize) -> PathBuf {
    let path = scratch(name);
    let mut file = BufWriter::new(File::create(&path).expect("a file can be made"));
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    for _ in 0..bytes / 64 {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        writeln!(file, "{random:016x} {:046}", random % 1_000_003).expect("a file can be written");
    }
    file.flush().expect("a file can be written");
    path
}

/// 200 MB at full length.
fn many_lines(name: &str) -> PathBuf {
    lines(
        name,
        if full_length() {
            200_000_000
        } else {
            20_000_000
        },
    )
}

#[test]
fn sqlite_builds_and_asks_a_database_of_100_mb_in_memory() {
    let sql = "create table t(a integer primary key, b text, c integer);
        with recursive n(i) as (select 1 union all select i + 1 from n where i < 350000)
            insert into t select i, hex(i * 7919) || printf('%.200c', 'x'), i * 31 % 1009 from n;
        create index k on t(c, a);
        select c, count(*), sum(a), max(b) from t group by c order by 3 desc limit 20;
        update t set b = substr(b, 1, a % 200) where a % 3 = 0;
        delete from t where a % 7 = 0;
        select count(*), sum(length(b)) from t;
        select page_count * page_size > 100000000 from pragma_page_count, pragma_page_size;";
    succeeds_on_both("sqlite3", |command, _| {
        command.args([":memory:", sql]);
    });
}

#[test]
fn gcc_compiles_and_links_20_000_lines() {
    let mut source = String::from("#include <stdio.h>\n");
    for n in 0..2000 {
        source += &format!(
            "static int f{n}(int a, int b) {{\n  int s = a;\n  for (int i = 0; i < b; i++) {{\n    \
             s += i * {} ^ (s >> {});\n    if (s % {} == 1)\n      s -= b;\n  }}\n  return s;\n}}\n",
            n + 1,
            n % 7 + 1,
            n + 3
        );
    }
    source += "int main(void) {\n  unsigned s = 1;\n";
    (0..2000).for_each(|n| source += &format!("  s += f{n}(s & 1023, {});\n", n % 50));
    source += "  printf(\"%u\\n\", s);\n  return 0;\n}\n";
    assert!(source.lines().count() > 20_000);
    let file = scratch("20000.c");
    std::fs::write(&file, source).expect("a file can be written");
    succeeds_on_both("gcc", |command, which| {
        command
            .args(["-O1", "-g", "-o"])
            .arg(scratch(which))
            .arg(&file);
    });
    if scratch("with").is_file() {
        let [a, b] = ["without", "with"].map(|which| wait(plain(scratch(which))).expect_success());
        assert!(a.stdout == b.stdout && !a.stdout.is_empty(), "{a}\n{b}");
    }
}

#[test]
fn perl_fills_and_sorts_a_hash() {
    let script = r#"
        my %h;
        for my $i (1 .. 300000) {
            $h{"k$i"} = [$i, "v" x ($i % 50)];
            delete $h{"k" . ($i - 1000)} if $i % 3;
        }
        my $s = 0;
        $s += $_->[0] for values %h;
        print scalar(keys %h), " $s\n";
        print join(",", (sort { $h{$a}[0] <=> $h{$b}[0] } keys %h)[0 .. 9]), "\n";
        my $text = join " ", map { $_ x 3 } 1 .. 50000;
        (my $other = $text) =~ s/(\d)1/<$1>/g;
        print length($other), "\n";"#;
    succeeds_on_both("perl", |command, _| {
        command.args(["-e", script]);
    });
}

#[test]
fn php_and_its_extensions_share_a_heap() {
    let script = r#"
        $all = [];
        for ($i = 0; $i < 200000; $i++) $all["k" . $i % 5000] = str_repeat(chr(65 + $i % 26), $i % 97);
        ksort($all);
        echo md5(serialize($all)), " ", md5(json_encode($all)), "\n";
        preg_match_all('/[aeiou]\w+/', str_repeat("the quick brown fox ", 20000), $found);
        echo count($found[0]), "\n";"#;
    succeeds_on_both("php", |command, _| {
        command.args(["-r", script]);
    });
}

#[test]
fn ruby_starts_threads_and_forks() {
    let script = r#"
        all = {}
        200000.times { |i| all["k#{i % 3000}"] = ("x" * (i % 100)).upcase }
        threads = 8.times.map { Thread.new { (0...20000).map { |i| i.to_s * 3 }.size } }
        puts all.values.sum(&:size), threads.sum(&:value)
        Process.wait fork { puts (1..1000).map(&:to_s).join.size }
        GC.start
        puts GC.stat(:total_allocated_objects) > 200000"#;
    succeeds_on_both("ruby", |command, _| {
        command.args(["-e", script]);
    });
}

/// A history of many commits, made in one go.
fn history() -> Vec<u8> {
    let mut stream = Vec::new();
    for n in 1..=3000_usize {
        let file: String = (0..n % 40 + 1)
            .map(|line| format!("{line} of {}\n", n * line))
            .collect();
        let head = format!(
            "commit refs/heads/main\ncommitter A <a@example.org> {} +0000\ndata <<END\nchange {n}\nEND\n\
             M 100644 inline folder{}/file{}\ndata {}\n{file}\n",
            1_700_000_000 + n,
            n % 7,
            n % 29,
            file.len()
        );
        stream.extend_from_slice(head.as_bytes());
    }
    stream
}

#[test]
fn git_tells_a_repository_s_history() {
    let Some(git) = installed("git") else { return };
    let repository = scratch("history");
    let _ = std::fs::remove_dir_all(&repository);
    let run = |arguments: &[&str], input: &[u8]| {
        let mut git = Command::new(&git);
        git.args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::null());
        let mut child = git.spawn().expect("git starts");
        let mut stdin = child.stdin.take().expect("stdin is piped");
        stdin.write_all(input).expect("git reads");
        drop(stdin);
        assert!(child.wait().expect("git ends").success());
    };
    let folder = repository.to_str().expect("a path of UTF-8");
    run(&["init", "--quiet", folder], b"");
    run(&["-C", folder, "fast-import", "--quiet"], &history());
    let outcome = same_on_both(&git, |command, _| {
        command.args(["-C", folder, "log", "--stat", "-p", "-M", "main"]);
    })
    .expect_success();
    assert!(outcome.stdout.contains("change 3000") && outcome.stdout.contains("change 1\n"));
}

#[test]
fn xz_compresses_with_two_threads() {
    let Some(xz) = installed("xz") else { return };
    let file = many_lines("to-compress");
    let compressed = |which: &str| scratch(&format!("compressed-{which}.xz"));
    same_on_both(&xz, |command, which| {
        let from = scratch(&format!("compressed-{which}"));
        std::fs::copy(&file, &from).expect("a file can be copied");
        command
            .args(["-T2", "-1", "--block-size=4MiB", "--force"])
            .arg(from);
    })
    .expect_success();
    let [a, b] = ["without", "with"].map(|which| std::fs::read(compressed(which)).expect("a file"));
    assert!(
        a.len() > 1_000_000 && a == b,
        "{} and {} bytes",
        a.len(),
        b.len()
    );
    same_on_both(&xz, |command, _| {
        command.args(["-T2", "--test"]).arg(compressed("with"));
    })
    .expect_success();
}

#[test]
fn sort_sorts_with_two_threads() {
    let file = many_lines("to-sort");
    let sorted = |which: &str| scratch(&format!("sorted-{which}"));
    let Some(sort) = installed("sort") else {
        return;
    };
    same_on_both(&sort, |command, which| {
        command
            .args(["--parallel=2", "-S", "40M", "-o"])
            .arg(sorted(which))
            .arg(&file);
        command.env("LC_ALL", "C");
    })
    .expect_success();
    let [a, b] = ["without", "with"].map(|which| std::fs::read(sorted(which)).expect("a file"));
    assert!(a == b && a.len() > 19_000_000);
    assert!(
        a.split(|&byte| byte == b'\n')
            .filter(|line| !line.is_empty())
            .is_sorted()
    );
}

#[test]
fn node_parses_json_in_a_loop() {
    let script = "
        const text = JSON.stringify(Array.from({length: 5000}, (_, i) =>
            ({id: i, name: 'n' + i, tags: ['a', 'b', i], deep: {x: [i, [i, [i]]]}})));
        let sum = 0;
        for (let i = 0; i < 300; i++) {
            for (const o of JSON.parse(text)) sum += o.deep.x[1][1][0];
            sum += Buffer.from(text).toString('base64').length;
        }
        console.log(sum);";
    succeeds_on_both("node", |command, _| {
        command.args(["-e", script]);
    });
}

/// Code that is made at run time has no unwind tables, and what it keeps for a frame pointer may be anything: each
/// object's stack is walked.
#[test]
fn node_compresses_with_each_object_sampled() {
    let script = "
        const zlib = require('zlib');
        let sum = 0;
        const deep = n => n > 0 ? 1 + deep(n - 1) : zlib.deflateSync(Buffer.alloc(5000, 'a')).length;
        for (let i = 0; i < 2000; i++) sum += deep(i % 50);
        console.log(sum);";
    succeeds_on_both("node", |command, _| {
        command.args(["-e", script]).env("GOHEAP_PROFILE_RATE", "1");
    });
}

#[test]
fn python_passes_its_own_tests_on_malloc() {
    // Where `python3` is found first may be a shim that starts others.
    let python = Path::new("/usr/bin/python3");
    let modules = [
        "test_dict",
        "test_list",
        "test_json",
        "test_threading",
        "test_gc",
    ];
    for module in modules {
        let mut look = Command::new(python);
        look.args([
            "-c",
            &format!(
                "import importlib.util as u, sys; sys.exit(u.find_spec('test.{module}') is None)"
            ),
        ]);
        if !look.status().is_ok_and(|status| status.success()) {
            return skip(format_args!("no {} with test.{module}", python.display()));
        }
    }
    let outcomes = on_both(python, |command, which| {
        let folder = scratch(&format!("python-{which}"));
        std::fs::create_dir_all(&folder).expect("a folder can be made");
        command.args(["-m", "test", "-v"]).args(modules);
        command.current_dir(folder).env("PYTHONMALLOC", "malloc");
    });
    let [without, with] = outcomes.map(Outcome::expect_success);
    assert!(with.stdout.contains("All 5 tests OK."), "{with}");
    let [without, with] = [without, with].map(|outcome| verdicts(&outcome));
    assert!(without.len() > 300, "{without:?}");
    let other: Vec<_> = without.symmetric_difference(&with).collect();
    assert!(other.is_empty(), "{other:?}");
}

/// What Python's tests say of each, without what a test itself prints.
fn verdicts(outcome: &Outcome) -> BTreeSet<String> {
    let lines = outcome.stderr.lines().chain(outcome.stdout.lines());
    lines
        .filter_map(|line| line.strip_prefix("test_")?.split_once(" ... "))
        .map(|(test, said)| {
            let verdict = ["ok", "skipped", "FAIL", "ERROR", "expected failure"]
                .into_iter()
                .find(|verdict| said.starts_with(verdict));
            format!("{test} {}", verdict.unwrap_or_default())
        })
        .collect()
}

#[test]
fn stress_ng_finds_nothing_wrong() {
    let Some(stress) = installed("stress-ng") else {
        return;
    };
    let seconds = if full_length() { "20" } else { "3" };
    for stressor in ["--malloc", "--fork", "--mmapfork"] {
        let outcomes = on_both(&stress, |command, _| {
            command
                .args([stressor, "1", "--verify", "--timeout", seconds])
                .current_dir(scratch(""));
        });
        let [without, with] = outcomes.map(Outcome::expect_success);
        assert!(
            said_but_for_numbers(&with)
                .iter()
                .any(|line| line.contains("successful run completed")),
            "{with}"
        );
        assert_eq!(said_but_for_numbers(&with), said_but_for_numbers(&without));
    }
}

/// What a program printed, a number like any other: it has its process's and its times in each line.
fn said_but_for_numbers(outcome: &Outcome) -> Vec<String> {
    let without_numbers = |line: &str| -> String {
        let mut words: Vec<_> = line
            .split(|c: char| c.is_ascii_digit() || c == '.')
            .collect();
        words.retain(|word| !word.trim().is_empty());
        words.join("#")
    };
    outcome
        .stderr
        .lines()
        .chain(outcome.stdout.lines())
        .map(without_numbers)
        .collect()
}
