//! A running program on the heap can be seen and steered from outside, by whom it should be.

#[path = "support/observed.rs"]
mod observed;
mod support;

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use goheap_stats::MemStats;
use observed::{Observed, pages, program, refusal, signal_to, stats, tool};
use serde_json::Value;
use support::{copied, goheap, text, without_knobs};
use tempfile::TempDir;

const MIB: u64 = 1 << 20;

fn number(value: &Value) -> u64 {
    value
        .as_u64()
        .unwrap_or_else(|| panic!("{value} is no count"))
}

/// Waits until something holds; fails when it does not come.
#[track_caller]
fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(60), "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// While it is held, no test lists the pages, which removes those that are left behind.
fn nobody_lists() -> MutexGuard<'static, ()> {
    static LISTS: Mutex<()> = Mutex::new(());
    LISTS.lock().unwrap_or_else(PoisonError::into_inner)
}

fn list() {
    let _alone = nobody_lists();
    goheap_cli::observe::list();
}

#[test]
fn a_program_that_has_hardly_allocated_is_found_and_its_figures_hold() {
    let Some(program) = Observed::start() else {
        return;
    };
    let shown = stats(program.pid());
    let mem = &shown["MemStats"];
    assert_eq!(shown["PID"], program.pid());
    assert_eq!(mem["NumGC"], 0);
    assert!(number(&shown["RSS"]) > 0 && number(&mem["HeapAlloc"]) < MIB);
}

#[test]
fn the_figures_are_those_of_the_program_and_keep_gos_identities() {
    let Some(mut program) = Observed::start() else {
        return;
    };
    let before = stats(program.pid());
    program.tell("alloc 0 50000 1000");
    let shown = stats(program.pid());
    let mem = &shown["MemStats"];
    let count = |of: &Value| {
        let classes = of["Classes"].as_array().expect("a list");
        let class = classes.iter().find(|class| class["Size"] == 1024);
        class.map_or(0, |class| number(&class["Mallocs"]))
    };
    assert_eq!(count(&shown) - count(&before), 50_000);
    assert!(number(&mem["HeapAlloc"]) >= 50_000 * 1024);
    assert!(number(&mem["NumGC"]) > 0);
    let get = |name: &str| number(&mem[name]);
    assert_eq!(get("HeapSys"), get("HeapInuse") + get("HeapIdle"));
    assert_eq!(get("HeapObjects"), get("Mallocs") - get("Frees"));
    goheap_stats::audit(&mem_stats(mem)).expect("Go's identities hold");
    // All classes, added up.
    let classes = shown["Classes"].as_array().expect("a list");
    let sum = |name: &str| {
        classes
            .iter()
            .map(|class| number(&class[name]))
            .sum::<u64>()
    };
    assert_eq!(sum("Bytes"), get("HeapAlloc"));
    assert_eq!(sum("Objects"), get("HeapObjects"));
    let table = tool(&["stats", &program.pid().to_string()]);
    let table = text(&table.stdout);
    for words in ["released", "GOGC=100", "GOMEMLIMIT=off", "1024"] {
        assert!(table.contains(words), "{words}: {table}");
    }
}

/// The counters that were shown, as the audit takes them.
fn mem_stats(shown: &Value) -> MemStats {
    let mut all = serde_json::to_value(MemStats::zeroed()).expect("JSON");
    for (name, value) in shown.as_object().expect("an object") {
        if name != "BySize" {
            all[name.as_str()] = value.clone();
        }
    }
    all["Alloc"] = shown["HeapAlloc"].clone();
    serde_json::from_value(all).expect("MemStats")
}

#[test]
fn commands_take_effect_in_the_program() {
    let Some(mut program) = Observed::start() else {
        return;
    };
    let pid = &program.pid().to_string();
    program.tell("alloc 0 20000 2000");
    // Before the frees: a cycle may come by itself after them.
    let before = stats(program.pid());
    program.tell("free 0 20000 0");
    let said = tool(&["gc", pid]);
    assert!(said.status.success(), "{}", text(&said.stderr));
    assert!(text(&said.stdout).starts_with("cycle "));
    let collected = stats(program.pid());
    let get = |of: &Value, name: &str| number(&of["MemStats"][name]);
    assert_eq!(
        get(&collected, "NumForcedGC"),
        get(&before, "NumForcedGC") + 1
    );
    assert!(get(&collected, "HeapAlloc") < get(&before, "HeapAlloc") / 2);

    assert!(tool(&["free", pid]).status.success());
    let mut freed = stats(program.pid());
    // The scavenger may have some in hand just then, of which it gives back all.
    until("all is released", || {
        freed = stats(program.pid());
        get(&freed, "HeapIdle") - get(&freed, "HeapReleased") < MIB
    });
    assert!(number(&freed["RSS"]) + 10 * MIB < number(&before["RSS"]));

    let said = tool(&["set", pid, "gogc=50", "memlimit=1GiB"]);
    let said = text(&said.stdout);
    assert!(said.contains("GOGC was 100, is 50"), "{said}");
    assert!(said.contains("GOMEMLIMIT was off, is 1GiB"), "{said}");
    let set = stats(program.pid());
    assert_eq!(
        (&set["GOGC"], &set["GOMEMLIMIT"]),
        (&50.into(), &(1 << 30).into())
    );
    assert!(get(&set, "NextGC") < get(&freed, "NextGC"));
    assert!(tool(&["set", pid, "gogc=off"]).status.success());
    let off = stats(program.pid());
    assert_eq!(
        (&off["GOGC"], &off["GOMEMLIMIT"]),
        (&(-1).into(), &(1 << 30).into())
    );
}

#[test]
fn a_setting_that_is_none_is_refused_before_anybody_is_asked() {
    for (setting, part) in [
        ("gogc=much", "percent"),
        ("memlimit=1GB", "MiB"),
        ("pace=1", "gogc or memlimit"),
    ] {
        let output = tool(&["set", "1", setting]);
        assert_eq!(output.status.code(), Some(2));
        let said = text(&output.stderr);
        assert!(said.contains(setting) && said.contains(part), "{said}");
    }
    assert_eq!(tool(&["set", "1"]).status.code(), Some(2));
}

#[test]
fn the_page_is_its_owners_alone_and_goes_with_the_program() {
    let Some(mut program) = Observed::start() else {
        return;
    };
    let found = pages(program.pid());
    let [page] = &found[..] else {
        panic!("{found:?}");
    };
    let meta = fs::metadata(page).expect("the page is a file");
    assert_eq!(meta.permissions().mode() & 0o7777, 0o600);
    assert_eq!(meta.len(), 4096);
    program.send("exit 0");
    assert!(program.wait().success());
    assert!(pages(program.pid()).is_empty());
}

#[test]
fn a_page_that_was_left_behind_is_removed_by_who_comes_next() {
    let Some(program) = Observed::start() else {
        return;
    };
    let pid = program.pid();
    let nobody_lists = nobody_lists();
    program.signal(libc::SIGKILL);
    until("it ends", || {
        !fs::exists(format!("/proc/{pid}/exe")).unwrap_or(false) || {
            fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| stat.contains(") Z"))
        }
    });
    assert_eq!(pages(pid).len(), 1);
    drop(nobody_lists);
    drop(program);
    let said = refusal(&["stats", &pid.to_string()]);
    assert!(
        said.contains(&format!("process {pid} does not run")),
        "{said}"
    );
    list();
    assert!(pages(pid).is_empty());
}

#[test]
fn a_page_of_an_earlier_process_of_that_number_is_not_this_ones() {
    let Some(program) = Observed::start() else {
        return;
    };
    let pid = program.pid();
    let found = pages(pid);
    // The same number, started at another time.
    let name = found[0].to_str().expect("text");
    let other = format!("{}-1", name.rsplit_once('-').expect("three parts").0);
    fs::copy(name, &other).expect("the folder can be written to");
    assert!(stats(pid)["PID"] == pid);
    list();
    assert_eq!(pages(pid), found);
}

#[test]
fn a_forked_process_has_a_page_of_its_own() {
    let Some(mut program) = Observed::start() else {
        return;
    };
    program.tell("alloc 0 20000 1000");
    let child: u32 = program.tell("fork")[0].parse().expect("a PID");
    // Its page is there before there is anything on it.
    until("the child publishes itself", || {
        tool(&["stats", &child.to_string()]).status.success()
    });
    program.tell("free 0 20000 0");
    assert!(tool(&["gc", &program.pid().to_string()]).status.success());
    let (parents, childs) = (stats(program.pid()), stats(child));
    signal_to(child, libc::SIGKILL);
    let get = |of: &Value| number(&of["MemStats"]["HeapAlloc"]);
    assert!(get(&parents) < 10 * MIB && get(&childs) > 15 * MIB);
}

#[test]
fn a_program_is_seen_across_exec_and_no_longer_once_it_is_another() {
    let Some(mut program) = Observed::start() else {
        return;
    };
    let pid = program.pid();
    program.tell("alloc 0 20000 1000");
    assert!(number(&stats(pid)["MemStats"]["Mallocs"]) > 20_000);
    let nobody_lists = nobody_lists();
    program.tell("exec");
    drop(nobody_lists);
    assert!(number(&stats(pid)["MemStats"]["Mallocs"]) < 10_000);
    assert_eq!(pages(pid).len(), 1);

    // Without the library from here on.
    program.send("sleep");
    until("it is another", || {
        fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.trim() == "sleep")
    });
    let said = refusal(&["stats", &pid.to_string()]);
    assert!(said.contains("does not run on goheap"), "{said}");
    list();
    assert!(pages(pid).is_empty());
}

#[test]
fn no_descriptor_is_kept_and_closing_all_does_not_matter() {
    // Some may come from who runs the tests.
    let Some(mut unseen) = Observed::start_with(|command| {
        command.env("GOHEAP_PUBLISH", "0");
    }) else {
        return;
    };
    let Some(mut program) = Observed::start() else {
        return;
    };
    assert_eq!(program.tell("descriptors"), unseen.tell("descriptors"));
    program.tell("close");
    assert!(tool(&["gc", &program.pid().to_string()]).status.success());
}

#[test]
fn a_program_that_is_not_to_be_seen_is_not() {
    let Some(program) = Observed::start_with(|command| {
        command.env("GOHEAP_PUBLISH", "0");
    }) else {
        return;
    };
    assert!(pages(program.pid()).is_empty());
    let said = refusal(&["stats", &program.pid().to_string()]);
    assert!(said.contains("does not run on goheap"), "{said}");
}

#[test]
fn a_program_under_tight_limits_runs_unseen() {
    use libc::{RLIMIT_FSIZE, RLIMIT_NPROC};
    for resource in [RLIMIT_FSIZE, RLIMIT_NPROC] {
        let Some(mut program) = Observed::start_with(|command| {
            let none = libc::rlimit {
                rlim_cur: 0,
                rlim_max: 0,
            };
            if is_root() {
                // For root there is no limit on processes.
                command.uid(65534).gid(65534);
            }
            // SAFETY: setrlimit is async-signal-safe, and nothing else is done after the fork.
            unsafe {
                command.pre_exec(move || match libc::setrlimit(resource, &none) {
                    0 => Ok(()),
                    _ => Err(std::io::Error::last_os_error()),
                });
            }
        }) else {
            return;
        };
        program.tell("alloc 0 20000 1000");
        assert!(pages(program.pid()).is_empty());
        program.send("exit 3");
        assert_eq!(program.wait().code(), Some(3));
    }
}

fn is_root() -> bool {
    // SAFETY: no arguments, no memory.
    unsafe { libc::geteuid() == 0 }
}

#[test]
fn another_users_program_is_refused() {
    let Some(program) = Observed::start() else {
        return;
    };
    if !is_root() {
        eprintln!("skipped: only root can be two users");
        return;
    }
    // The tests' own folders may be closed to others.
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).expect("a mode");
    let copy = folder.path().join("goheap");
    support::copied(env!("CARGO_BIN_EXE_goheap").as_ref(), &copy);
    for command in ["stats", "gc", "free", "map"] {
        let output = std::process::Command::new(&copy)
            .args([command, &program.pid().to_string()])
            .uid(65534)
            .gid(65534)
            .output()
            .expect("the program starts");
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains("belongs to another user (uid 0)"), "{said}");
    }
    assert_eq!(number(&stats(program.pid())["MemStats"]["NumForcedGC"]), 0);
}

#[test]
fn a_process_that_is_not_on_the_heap_is_told_apart() {
    let mut other = std::process::Command::new("sleep")
        .arg("100")
        .spawn()
        .expect("sleep starts");
    // The kernel gives it its name a little later than its memory.
    let name = format!("/proc/{}/comm", other.id());
    until("it has its name", || {
        fs::read_to_string(&name).is_ok_and(|name| name.trim() == "sleep")
    });
    let said = refusal(&["gc", &other.id().to_string()]);
    other
        .kill()
        .and_then(|()| other.wait())
        .expect("sleep ends");
    assert!(said.contains("(sleep) does not run on goheap"), "{said}");
    let said = refusal(&["stats", "4194305"]);
    assert!(said.contains("process 4194305 does not run"), "{said}");
}

/// A copy of the program under a name of these bytes, running.
fn named(name: &[u8]) -> Option<(TempDir, Observed)> {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let path = folder.path().join(OsStr::from_bytes(name));
    copied(&program()?, &path);
    let started = Observed::start_with(|command| {
        let library = command.get_envs().find(|(name, _)| *name == "LD_PRELOAD");
        let library = library.and_then(|(_, value)| value).expect("it is set");
        let mut other = Command::new(&path);
        other.env("LD_PRELOAD", library);
        without_knobs(&mut other);
        other.stdin(Stdio::piped()).stdout(Stdio::piped());
        *command = other;
    });
    Some((folder, started?))
}

#[test]
fn a_program_may_have_any_name() {
    // The kernel cuts names at 15 bytes, so that half a letter may be left.
    let Some((_folder, program)) = named("fuenfzehn-und-ü".as_bytes()) else {
        return;
    };
    let pid = program.pid();
    assert_eq!(stats(pid)["Name"], "fuenfzehn-und-\u{fffd}");
    list();
    assert_eq!(pages(pid).len(), 1, "it is not taken for one that is gone");
}

#[test]
fn a_programs_name_does_not_command_the_terminal() {
    let Some((_folder, program)) = named(b"a\x1b[2Jb") else {
        return;
    };
    let said = tool(&["stats", &program.pid().to_string()]);
    let said = text(&said.stdout);
    assert!(said.starts_with("a?[2Jb ("), "{said:?}");
}

#[test]
fn a_page_of_another_version_is_named() {
    let Some(program) = Observed::start() else {
        return;
    };
    let page = &pages(program.pid())[0];
    let mut bytes = fs::read(page).expect("the page can be read");
    bytes[8] = 99;
    // In place: the program has the file mapped.
    fs::write(page, &bytes).expect("the page can be written");
    let said = refusal(&["stats", &program.pid().to_string()]);
    assert!(
        said.contains("version 99") && said.contains("knows version"),
        "{said}"
    );
}

#[test]
fn a_stopped_program_is_said_to_be_stopped() {
    let Some(program) = Observed::start() else {
        return;
    };
    program.signal(libc::SIGSTOP);
    let mut status = 0;
    // SAFETY: a child of this process. It is told once all threads have stopped, and stays to be waited for.
    unsafe { libc::waitpid(program.pid() as i32, &mut status, libc::WUNTRACED) };
    assert!(libc::WIFSTOPPED(status));
    let said = refusal(&["stats", &program.pid().to_string()]);
    program.signal(libc::SIGCONT);
    assert!(
        said.contains("is stopped") && said.contains("SIGCONT"),
        "{said}"
    );
    assert!(stats(program.pid())["PID"] == program.pid());
}

#[test]
fn a_rust_program_on_the_heap_is_seen_as_well() {
    // This program is one; it waits for input where it replays a trace from a pipe.
    let trace = support::written("n 2\na 0 5000000\na 1 100\nw 60000\n");
    let mut child = goheap()
        .args(["replay".as_ref(), trace.path()])
        .spawn()
        .expect("the program starts");
    until("it is seen", || {
        let output = tool(&["stats", &child.id().to_string(), "--json"]);
        let shown: Option<Value> = serde_json::from_slice(&output.stdout).ok();
        shown.is_some_and(|shown| number(&shown["MemStats"]["HeapAlloc"]) > 5_000_000)
    });
    assert_eq!(
        fs::metadata(&pages(child.id())[0]).expect("a file").uid(),
        {
            // SAFETY: no arguments, no memory.
            unsafe { libc::geteuid() }
        }
    );
    child.kill().and_then(|()| child.wait()).expect("it ends");
}
