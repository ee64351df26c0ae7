//! Programs as distributions have them, on each allocator's shared library: the processor time that
//! they and what they start take, and the most memory that one process had.
//!
//! No line of them knows of an allocator; what is compared is `LD_PRELOAD=libgoheap.so` with the
//! libraries that a distribution packages, and with the system's malloc.

use std::fmt::Write;
use std::fs::{self, File};
use std::io::{self, BufWriter};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use clap::Parser;
use goheap_benches::machine;
use goheap_benches::numbers::Numbers;
use goheap_benches::spread::Spread;

/// Measures Debian's programs on goheap's preload library and its peers'. Writes
/// benches/results/preloaded.csv.
#[derive(Parser)]
struct Arguments {
    /// How often each runs
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=99))]
    rounds: u32,
    /// Only the program of that name
    name: Option<String>,
}

/// Where Debian puts the peers' libraries, by package libmimalloc2.0, libjemalloc2, libtcmalloc-minimal4.
const PEERS: [(&str, &str); 3] = [
    ("mimalloc2", "libmimalloc.so.2"),
    ("jemalloc", "libjemalloc.so.2"),
    ("tcmalloc", "libtcmalloc_minimal.so.4"),
];
const FOLDER: &str = "/usr/lib/x86_64-linux-gnu";

/// An allocator's library; the system's has none.
struct Peer {
    name: &'static str,
    library: Option<PathBuf>,
}

/// What a program took.
#[derive(Clone, Copy)]
struct Taken {
    processor_ms: f64,
    peak_kib: f64,
}

/// A program to measure, in a folder with what it reads.
struct Program {
    name: &'static str,
    needs: &'static str,
    run: fn(&Path, &Peer) -> io::Result<Taken>,
}

const PROGRAMS: [Program; 6] = [
    Program {
        name: "redis",
        needs: "/usr/bin/redis-server",
        run: redis,
    },
    Program {
        name: "python3",
        needs: "/usr/bin/python3",
        run: |_, peer| {
            let script = "
import json
rows = [{'id': i, 'name': f'n{i}', 'tags': [str(j) for j in range(i % 7)]} for i in range(40000)]
for turn in range(4):
    rows = json.loads(json.dumps(rows))
    table = {row['name'] * 2: row for row in rows}
    rows = [table[key] for key in sorted(table)]
print(len(rows))";
            let mut command = on(peer, "/usr/bin/python3");
            // Else the interpreter serves small objects itself.
            command.args(["-c", script]).env("PYTHONMALLOC", "malloc");
            to_the_end(&mut command)
        },
    },
    Program {
        name: "sqlite3",
        needs: "/usr/bin/sqlite3",
        run: |_, peer| {
            let sql = "create table t(a integer primary key, b text, c integer);
                with recursive n(i) as (select 1 union all select i + 1 from n where i < 400000)
                    insert into t select i, hex(i * 7919), i * 31 % 1009 from n;
                create index k on t(c, a);
                select c, count(*), max(b) from t group by c order by 2 desc limit 5;
                update t set b = substr(b, 1, a % 9) where a % 3 = 0;
                select count(distinct b) from t;";
            to_the_end(on(peer, "/usr/bin/sqlite3").args([":memory:", sql]))
        },
    },
    Program {
        name: "gcc",
        needs: "/usr/bin/gcc",
        run: |folder, peer| {
            let mut command = on(peer, "/usr/bin/gcc");
            command.args(["-O1", "-c", "-o", "/dev/null"]);
            to_the_end(command.arg(folder.join(SOURCE)))
        },
    },
    Program {
        name: "xz",
        needs: "/usr/bin/xz",
        run: |folder, peer| {
            let mut command = on(peer, "/usr/bin/xz");
            command.args(["-T2", "-1", "--block-size=1MiB", "--keep", "--stdout"]);
            to_the_end(command.arg(folder.join(TEXT)))
        },
    },
    Program {
        name: "perl",
        needs: "/usr/bin/perl",
        run: |_, peer| {
            let script = r#"my %h; for my $i (1 .. 400000) { $h{"k$i"} = [$i, "v" x ($i % 50)];
                delete $h{"k" . ($i - 1000)} if $i % 3; }
                print join(",", (sort { $h{$a}[0] <=> $h{$b}[0] } keys %h)[0 .. 9]), "\n";"#;
            to_the_end(on(peer, "/usr/bin/perl").args(["-e", script]))
        },
    },
];

const SOURCE: &str = "source.c";
const TEXT: &str = "text";

fn main() -> ExitCode {
    match compare(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn on(peer: &Peer, program: &str) -> Command {
    let mut command = Command::new(program);
    command.stdin(Stdio::null()).stdout(Stdio::null());
    if let Some(library) = &peer.library {
        command.env("LD_PRELOAD", library);
    }
    command
}

fn to_the_end(command: &mut Command) -> io::Result<Taken> {
    let child = command.spawn()?;
    taken_by(child, &format!("{command:?}"))
}

/// Waits for a process. What the processes that it waited for took is in it.
#[allow(
    clippy::zombie_processes,
    reason = "it is waited for by the system call"
)]
fn taken_by(child: Child, what: &str) -> io::Result<Taken> {
    let mut status = 0;
    // SAFETY: an empty structure of numbers; the kernel fills it in.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: a child of this process that nobody else waits for.
    let waited = unsafe { libc::wait4(child.id() as i32, &mut status, 0, &mut usage) };
    if waited < 0 {
        return Err(io::Error::last_os_error());
    }
    if status != 0 {
        return Err(io::Error::other(format!(
            "{what} ended with status {status}"
        )));
    }
    let ms = |time: libc::timeval| time.tv_sec as f64 * 1e3 + time.tv_usec as f64 / 1e3;
    Ok(Taken {
        processor_ms: ms(usage.ru_utime) + ms(usage.ru_stime),
        peak_kib: usage.ru_maxrss as f64,
    })
}

/// A server under its own benchmark: what is measured is the server.
fn redis(folder: &Path, peer: &Peer) -> io::Result<Taken> {
    let socket = folder.join("redis.sock");
    let _ = fs::remove_file(&socket);
    let mut command = on(peer, "/usr/bin/redis-server");
    command
        .args([
            "--port",
            "0",
            "--save",
            "",
            "--appendonly",
            "no",
            "--unixsocket",
        ])
        .arg(&socket)
        .current_dir(folder)
        // Ctrl-C is for this program, which then ends the server's socket and so its clients.
        .process_group(0);
    let mut server = command.spawn()?;
    let client = |program: &str, arguments: &str| {
        let mut command = Command::new(program);
        command.arg("-s").arg(&socket).args(arguments.split(' '));
        command.stdout(Stdio::null()).stderr(Stdio::null()).status()
    };
    let begun = Instant::now();
    while !client("redis-cli", "ping").is_ok_and(|status| status.success()) {
        if begun.elapsed() > Duration::from_secs(20) {
            server.kill()?;
            server.wait()?;
            return Err(io::Error::other("redis-server does not answer"));
        }
        sleep(Duration::from_millis(20));
    }
    let load = "-q -n 100000 -r 50000 -d 200 -P 8 -t set,get,lpush,lpop,sadd,hset,zadd,mset";
    client("redis-benchmark", load)?;
    client("redis-cli", "shutdown nosave")?;
    taken_by(server, "redis-server")
}

fn compare(arguments: &Arguments) -> io::Result<()> {
    let peers = peers()?;
    let folder = std::env::temp_dir().join(format!("goheap-preloaded-{}", std::process::id()));
    fs::create_dir_all(&folder)?;
    write_inputs(&folder)?;

    let mut csv = machine::header(
        &format!(
            "cargo run --release -p goheap-benches --bin preloaded -- --rounds {}",
            arguments.rounds
        ),
        "processor_ms: of the program and what it starts; ratio: goheap's by this one's of the same round",
    );
    csv += "program,allocator,processor_ms,ratio,ratio_min,ratio_max,peak_rss_kib\n";
    let wanted = |program: &&Program| {
        arguments
            .name
            .as_deref()
            .is_none_or(|name| name == program.name)
    };
    let mut best = Vec::new();
    for program in PROGRAMS.iter().filter(wanted) {
        if !Path::new(program.needs).exists() {
            eprintln!("left out: {}, there is no {}", program.name, program.needs);
            continue;
        }
        let rounds = (0..arguments.rounds as usize)
            .map(|round| in_turn(program, &peers, &folder, round))
            .collect::<io::Result<Vec<_>>>()?;
        best.push(report(program, &peers, &rounds, &mut csv));
    }
    fs::remove_dir_all(&folder)?;
    let mean = (best.iter().map(|ratio| ratio.ln()).sum::<f64>() / best.len() as f64).exp();
    println!("geometric mean against each program's best: {mean:.2}");
    let results = Path::new(env!("CARGO_MANIFEST_DIR")).join("results");
    fs::create_dir_all(&results)?;
    fs::write(results.join("preloaded.csv"), csv)?;
    println!("written to benches/results/preloaded.csv");
    Ok(())
}

/// goheap first, then those of its peers that there are.
fn peers() -> io::Result<Vec<Peer>> {
    let mut peers = vec![Peer {
        name: "goheap",
        library: Some(own_library()?),
    }];
    for (name, file) in PEERS {
        let path = Path::new(FOLDER).join(file);
        match path.exists() {
            true => peers.push(Peer {
                name,
                library: Some(path),
            }),
            false => eprintln!("left out: {name}, there is no {}", path.display()),
        }
    }
    peers.push(Peer {
        name: "glibc",
        library: None,
    });
    Ok(peers)
}

/// Runs it once on each, beginning with another one each round.
fn in_turn(
    program: &Program,
    peers: &[Peer],
    folder: &Path,
    round: usize,
) -> io::Result<Vec<Taken>> {
    let first = round % peers.len();
    let (later, sooner) = peers.split_at(first);
    let mut taken = sooner
        .iter()
        .chain(later)
        .map(|peer| (program.run)(folder, peer))
        .collect::<io::Result<Vec<_>>>()?;
    taken.rotate_right(first);
    Ok(taken)
}

/// Prints and writes a line for each peer. Returns the ratio to the best of them, goheap itself aside.
fn report(program: &Program, peers: &[Peer], rounds: &[Vec<Taken>], csv: &mut String) -> f64 {
    let mut best = f64::NEG_INFINITY;
    for (at, peer) in peers.iter().enumerate() {
        let of =
            |figure: fn(&Taken) -> f64| Spread::of(rounds.iter().map(|round| figure(&round[at])));
        let (time, peak) = (of(|taken| taken.processor_ms), of(|taken| taken.peak_kib));
        let ratio = Spread::of(
            rounds
                .iter()
                .map(|round| round[0].processor_ms / round[at].processor_ms),
        );
        if at > 0 {
            best = best.max(ratio.median);
        }
        let (least, most) = (ratio.min, ratio.max);
        println!(
            "{:<8} {:<10} {:>8.0} ms   goheap by this {:.2} ({least:.2} – {most:.2})   peak {:>7.1} MiB",
            program.name,
            peer.name,
            time.median,
            ratio.median,
            peak.median / 1024.0
        );
        writeln!(
            csv,
            "{},{},{:.1},{:.3},{least:.3},{most:.3},{:.0}",
            program.name, peer.name, time.median, ratio.median, peak.median
        )
        .expect("a string takes anything");
    }
    best
}

/// What `cargo build --release` leaves beside this program. Not a dependency: that would build the heap
/// that all else here measures as the library has it.
fn own_library() -> io::Result<PathBuf> {
    let program = std::env::current_exe()?;
    let folder = program.parent().unwrap_or(Path::new("."));
    let library = folder.join("deps/libgoheap.so");
    match library.exists() {
        true => Ok(library),
        false => Err(io::Error::other(format!(
            "there is no {}; cargo build --release makes it",
            library.display()
        ))),
    }
}

/// A source of 10,000 lines, and 20 MB of text that compresses somewhat.
fn write_inputs(folder: &Path) -> io::Result<()> {
    use std::io::Write;
    let mut source = BufWriter::new(File::create(folder.join(SOURCE))?);
    for n in 0..1250 {
        writeln!(
            source,
            "int f{n}(int a, int b) {{\n  int s = a;\n  for (int i = 0; i < b; i++) {{\n    s += i * {n} ^ (s >> {});\n    \
             if (s % 7 == 1)\n      s -= b;\n  }}\n  return s; }}",
            n % 7
        )?;
    }
    source.flush()?;
    let mut text = BufWriter::new(File::create(folder.join(TEXT))?);
    let mut numbers = Numbers::new(1);
    for _ in 0..20_000_000 / 64 {
        writeln!(
            text,
            "{:016x} {:046}",
            numbers.next_bits(),
            numbers.below(1_000_003)
        )?;
    }
    text.flush()
}
