//! A server under load on the library: redis, whose Debian package is linked against jemalloc, but
//! calls it as malloc, so that the library serves it all the same. (Sockets are named from the folder
//! that they are in: their paths may be 107 bytes long.)

mod support;

use std::io::Write;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use support::{full_length, installed, plain, preloaded, scratch, wait};

/// Ends with the test, however that ends.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // Where it has ended, there is nothing to kill.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Sends each line as a command; what redis answers.
fn ask(socket: &str, commands: &str) -> String {
    let mut cli = plain("redis-cli");
    cli.current_dir(scratch("")).stderr(Stdio::null());
    cli.arg("-s")
        .arg(socket)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let mut child = cli.spawn().expect("redis-cli starts");
    let mut stdin = child.stdin.take().expect("stdin is piped");
    stdin
        .write_all(commands.as_bytes())
        .expect("redis-cli reads");
    drop(stdin);
    let output = child.wait_with_output().expect("redis-cli ends");
    String::from_utf8(output.stdout).expect("answers in UTF-8")
}

fn begin(mut server: Command, socket: &str) -> Running {
    let path = scratch(socket);
    // One left over would seem to be there.
    let _ = std::fs::remove_file(&path);
    let log = std::fs::File::create(path.with_extension("log")).expect("a file can be made");
    let again = log.try_clone().expect("a descriptor can be copied");
    server.args([
        "--port",
        "0",
        "--save",
        "",
        "--appendonly",
        "no",
        "--enable-debug-command",
        "yes",
    ]);
    server
        .arg("--unixsocket")
        .arg(socket)
        .current_dir(scratch(""));
    let child = Running(
        server
            .stdout(log)
            .stderr(again)
            .spawn()
            .expect("redis-server starts"),
    );
    let begun = Instant::now();
    while !ask(socket, "PING\n").contains("PONG") {
        assert!(
            begun.elapsed() < Duration::from_secs(60),
            "redis does not answer"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    child
}

/// Commands whose outcome is the same each time: all kinds of values, made, grown and removed.
fn work() -> String {
    let mut commands = String::new();
    for n in 0..20_000_u64 {
        let key = n * 7919 % 3000;
        let value = "v".repeat((n * 31 % 300) as usize + 1);
        commands += &match n % 8 {
            0 => format!("SET s{key} {value}\n"),
            1 => format!("APPEND s{key} {value}\n"),
            2 => format!("RPUSH l{} {value}\n", key % 50),
            3 => format!("HSET h{} f{n} {value}\n", key % 20),
            4 => format!("SADD t{} {value} {n}\n", key % 20),
            5 => format!("ZADD z{} {n} {value}{key}\n", key % 10),
            6 => format!("DEL s{}\n", (key * 17) % 3000),
            _ => format!("LPOP l{}\n", key % 50),
        };
    }
    commands
}

#[test]
fn redis_under_redis_benchmark_ends_with_the_same_data() {
    let programs = ["redis-server", "redis-cli", "redis-benchmark"].map(installed);
    let [Some(server), Some(_), Some(benchmark)] = programs else {
        return;
    };
    let requests = if full_length() { "200000" } else { "20000" };
    let work = work();
    let mut ends = Vec::new();
    for (which, mut server) in [("without", plain(&server)), ("with", preloaded(&server))] {
        let socket = format!("redis-{which}");
        server.env("GODEBUG", "gctrace=1");
        let mut running = begin(server, &socket);
        let mut load = plain(&benchmark);
        load.current_dir(scratch(""));
        load.arg("-s")
            .arg(&socket)
            .args(["-q", "-n", requests, "-r", "10000", "-d", "100"]);
        load.args([
            "-t",
            "set,get,incr,lpush,rpop,sadd,hset,zadd,lrange_100,mset",
        ]);
        let loaded = wait(load).expect_success();
        assert!(
            loaded.stdout.matches("requests per second").count() >= 10,
            "{loaded}"
        );
        ask(&socket, "FLUSHALL\n");
        let answers = ask(&socket, &work);
        let digest = ask(&socket, "DEBUG DIGEST\nDBSIZE\n");
        ask(&socket, "SHUTDOWN NOSAVE\n");
        let status = running.0.wait().expect("redis-server ends");
        let log = std::fs::read_to_string(scratch(&socket).with_extension("log")).expect("its log");
        assert!(status.success(), "{status}: {log}");
        assert_eq!(
            log.contains("\ngc 1 @"),
            which == "with",
            "who served it? {log}"
        );
        ends.push((answers, digest));
    }
    assert!(ends[0].1.len() > 40, "{}", ends[0].1);
    assert!(
        ends[0] == ends[1],
        "with the library, redis answers otherwise: {} {}",
        ends[0].1,
        ends[1].1
    );
}
