//! A system that refuses, and signals at any time: the heap goes on with what it has.

use std::alloc::{GlobalAlloc, Layout};
use std::fs;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use goheap::GoHeap;

#[path = "support/child.rs"]
mod child;
#[path = "support/counters.rs"]
mod counters;

#[global_allocator]
static HEAP: GoHeap = GoHeap::new();

const MIB: usize = 1 << 20;

/// From here on these system calls fail with `errno`, in every thread of this process, for good.
fn refuse(calls: &[libc::c_long], errno: i32) {
    filter(calls, libc::SECCOMP_RET_ERRNO | errno as u32);
}

/// From here on `action` is what becomes of these system calls, in every thread of this process, for good.
fn filter(calls: &[libc::c_long], action: u32) {
    const LOAD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
    const IF_EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
    const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
    let step = |code, jt, jf, k| libc::sock_filter { code, jt, jf, k };
    // The number of the call is the first word of what a filter sees.
    let mut program = vec![step(LOAD, 0, 0, 0)];
    for &call in calls {
        program.push(step(IF_EQUAL, 0, 1, call as u32));
        program.push(step(RETURN, 0, 0, action));
    }
    program.push(step(RETURN, 0, 0, libc::SECCOMP_RET_ALLOW));
    let filter = libc::sock_fprog {
        len: program.len() as u16,
        filter: program.as_mut_ptr(),
    };
    // SAFETY: the filter is as long as it says; it changes nothing but how these calls end.
    let set = unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
            && libc::syscall(
                libc::SYS_seccomp,
                libc::SECCOMP_SET_MODE_FILTER,
                libc::SECCOMP_FILTER_FLAG_TSYNC,
                &raw const filter,
            ) == 0
    };
    assert!(set, "{}", std::io::Error::last_os_error());
}

/// Allocates and frees so much that there are many cycles, and looks at what it holds.
fn churn(rounds: usize) {
    let mut kept: Vec<Vec<u8>> = Vec::new();
    for number in 0..rounds {
        let size = 1 + number * 7919 % 20_000;
        kept.push(vec![number as u8; size]);
        if kept.len() > 300 {
            let gone = kept.swap_remove(number % 300);
            assert!(gone.iter().all(|&byte| byte == gone[0]));
        }
    }
}

#[track_caller]
fn sound() {
    assert_eq!(goheap::check().map_err(|f| f.to_string()), Ok(()));
    counters::audited();
}

#[test]
fn where_no_thread_can_be_started_allocations_do_the_work() {
    let body = || {
        refuse(&[libc::SYS_clone, libc::SYS_clone3], libc::EAGAIN);
        let refused = thread::Builder::new().spawn(|| ()).is_err();
        assert!(refused, "a thread was started");
        let before = counters::audited().num_gc;
        churn(30_000);
        let stats = counters::audited();
        assert!(stats.num_gc > before + 10, "{} cycles", stats.num_gc);
        assert!(stats.heap_sys < 64 * MIB as u64, "{}", stats.heap_sys);
        goheap::free_os_memory();
        sound();
    };
    let test = where_no_thread_can_be_started_allocations_do_the_work;
    child::run(test, |_| {}, body).expect_success();
}

/// So many threads has the process.
fn threads() -> usize {
    let tasks = fs::read_dir("/proc/self/task").expect("a list of threads");
    tasks.count()
}

/// The user that this process is may have so many processes and threads; `None`: as many as there may be.
fn limit_threads(to: Option<usize>) {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: reads and writes one structure.
    unsafe {
        assert_eq!(libc::getrlimit(libc::RLIMIT_NPROC, &mut limit), 0);
        limit.rlim_cur = to.map_or(limit.rlim_max, |to| to as libc::rlim_t);
        assert_eq!(libc::setrlimit(libc::RLIMIT_NPROC, &limit), 0);
    }
}

/// RLIMIT_NPROC grants the first threads and refuses the next, until it is lifted.
fn threads_start_late(extra: usize) {
    // Setting the heap up starts the thread that answers for the process, if it may.
    let before = threads();
    limit_threads(Some(before + extra));
    churn(30_000);
    goheap::free_os_memory();
    sound();
    assert_eq!(threads(), before + extra);
    limit_threads(None);
    let begun = Instant::now();
    while threads() < before + extra + 1 {
        assert!(begun.elapsed().as_secs() < 60, "no thread was started");
        churn(2000);
    }
    sound();
}

#[test]
fn threads_that_could_not_be_started_are_once_they_can() {
    // SAFETY: reads a number.
    let root = unsafe { libc::geteuid() } == 0;
    let copy = std::env::temp_dir().join(format!("goheap-threads-{}", std::process::id()));
    let in_child = !root;
    if !in_child {
        let own = std::env::current_exe().expect("the path of this binary");
        assert!(child::copied(&own, &copy), "there is room for a copy");
    } else if std::env::var_os("EXTRA").is_none() {
        eprintln!("not root; nothing is tested");
        return;
    }
    for extra in [0, 1] {
        let configure = |command: &mut Command| {
            // A user whom nobody is, whose threads are these alone.
            command
                .current_dir("/")
                .env("EXTRA", extra.to_string())
                .uid(54_321 + extra as u32);
        };
        let body = || {
            let extra = std::env::var("EXTRA").expect("set by the parent");
            threads_start_late(extra.parse().expect("a number"));
        };
        let test = threads_that_could_not_be_started_are_once_they_can;
        child::run_copy(&copy, test, configure, body).expect_success();
    }
    fs::remove_file(&copy).expect("the copy is there");
}

#[test]
fn where_no_memory_is_taken_back_it_stays_retained() {
    let body = || {
        refuse(&[libc::SYS_madvise], libc::EINVAL);
        drop(std::hint::black_box(vec![1_u8; 32 * MIB]));
        churn(10_000);
        goheap::free_os_memory();
        let stats = counters::audited();
        let retained = stats.heap_idle - stats.heap_released;
        assert!(retained >= 32 * MIB as u64, "{retained} bytes are retained");
        // Old contents are not taken for zeroes.
        let zeroed = vec![0_u8; 32 * MIB];
        assert!(zeroed.iter().all(|&byte| byte == 0));
        sound();
    };
    let test = where_no_memory_is_taken_back_it_stays_retained;
    child::run(test, |_| {}, body).expect_success();
}

#[test]
fn a_filter_that_kills_for_a_new_system_call_does_not_meet_it() {
    let body = || {
        churn(10_000);
        filter(&[libc::SYS_process_madvise], libc::SECCOMP_RET_KILL_PROCESS);
        churn(10_000);
        goheap::free_os_memory();
        let retained = || {
            let stats = counters::audited();
            stats.heap_idle - stats.heap_released
        };
        // The scavenger may have some in hand just then, of which it gives back all.
        let begun = Instant::now();
        while retained() >= MIB as u64 && begun.elapsed().as_secs() < 60 {
            thread::sleep(Duration::from_millis(5));
        }
        let retained = retained();
        assert!(retained < MIB as u64, "{retained} bytes are retained");
        sound();
    };
    let test = a_filter_that_kills_for_a_new_system_call_does_not_meet_it;
    child::run(test, |_| {}, body).expect_success();
}

#[test]
fn where_no_memory_is_to_be_had_what_there_is_is_used_again() {
    let body = || {
        churn(5_000);
        let layout = Layout::from_size_align(100_000, 8).expect("a layout");
        let mut objects: Vec<*mut u8> = Vec::with_capacity(10_000);
        refuse(&[libc::SYS_mmap, libc::SYS_mprotect], libc::ENOMEM);
        let fill = |objects: &mut Vec<*mut u8>| {
            while objects.len() < objects.capacity() {
                // SAFETY: the layout has a size.
                let object = unsafe { HEAP.alloc(layout) };
                if object.is_null() {
                    break;
                }
                objects.push(object);
            }
            objects.len()
        };
        let first = fill(&mut objects);
        assert!(first < objects.capacity(), "memory was granted");
        for object in objects.drain(..) {
            // SAFETY: allocated above with this layout.
            unsafe { HEAP.dealloc(object, layout) };
        }
        sound();
        let second = fill(&mut objects);
        assert!(
            second >= first,
            "{second} the second time, {first} the first"
        );
        sound();
    };
    let test = where_no_memory_is_to_be_had_what_there_is_is_used_again;
    child::run(test, |_| {}, body).expect_success();
}

static SIGNALS: AtomicUsize = AtomicUsize::new(0);

extern "C" fn count(_signal: libc::c_int) {
    SIGNALS.fetch_add(1, Ordering::Relaxed);
}

/// Four threads allocate, collect and fork nothing, while a timer interrupts one or the other of them
/// five thousand times a second.
#[test]
fn threads_interrupted_anywhere_go_on_unharmed() {
    let body = || {
        let handler: extern "C" fn(libc::c_int) = count;
        let every = libc::timeval {
            tv_sec: 0,
            tv_usec: 200,
        };
        let timer = libc::itimerval {
            it_interval: every,
            it_value: every,
        };
        // SAFETY: the handler only counts.
        unsafe {
            libc::signal(libc::SIGALRM, handler as *const () as libc::sighandler_t);
            libc::setitimer(libc::ITIMER_REAL, &timer, std::ptr::null_mut());
        }
        let enough = AtomicBool::new(false);
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    while !enough.load(Ordering::Relaxed) {
                        churn(2000);
                        goheap::gc();
                    }
                });
            }
            let begun = Instant::now();
            while SIGNALS.load(Ordering::Relaxed) < 2000 && begun.elapsed().as_secs() < 60 {
                thread::sleep(Duration::from_millis(10));
            }
            enough.store(true, Ordering::Relaxed);
        });
        assert!(SIGNALS.load(Ordering::Relaxed) >= 2000);
        sound();
    };
    child::run(threads_interrupted_anywhere_go_on_unharmed, |_| {}, body).expect_success();
}

#[test]
fn threads_that_panic_give_back_what_they_held() {
    let body = || {
        std::panic::set_hook(Box::new(|_| {}));
        let start = counters::at_rest();
        for round in 0..200_usize {
            let thread = thread::spawn(move || {
                let held: Vec<Vec<u8>> = (0..100).map(|n| vec![0; 1 + n * round]).collect();
                assert!(held.len() > 1000, "as planned");
            });
            assert!(thread.join().is_err());
        }
        counters::assert_returned(&start, &counters::at_rest());
        sound();
    };
    child::run(threads_that_panic_give_back_what_they_held, |_| {}, body).expect_success();
}

/// Deeper and deeper, with an allocation in each frame: the stack may end in the middle of one.
fn descend(depth: usize) -> usize {
    let held = std::hint::black_box(vec![depth as u8; 1 + depth % 3000]);
    if held.is_empty() {
        return depth;
    }
    let below = descend(depth + 1);
    below + usize::from(held[0])
}

/// What is promised: Rust's message and an end, not a hang, wherever the other threads are.
#[test]
fn a_stack_that_overflows_ends_the_process_while_others_allocate() {
    let body = || {
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    loop {
                        churn(1000);
                        goheap::gc();
                    }
                });
            }
            thread::sleep(Duration::from_millis(50));
            let deep = thread::Builder::new().name("deep".into());
            let deep = deep.spawn_scoped(scope, || descend(0));
            let deep = deep.expect("the thread starts").join();
            child::report("survived", deep.is_ok());
        });
    };
    let test = a_stack_that_overflows_ends_the_process_while_others_allocate;
    let outcome = child::run(test, |_| {}, body).expect_signal(libc::SIGABRT);
    let words = ["thread 'deep'", "has overflowed its stack"];
    for word in words {
        assert!(
            outcome.stderr.contains(word),
            "{word:?} is not in: {outcome}"
        );
    }
    assert!(!outcome.stdout.contains("survived"), "{outcome}");
}

#[test]
fn threads_go_on_while_others_panic() {
    let body = || {
        let enough = AtomicBool::new(false);
        let start = counters::at_rest();
        thread::scope(|scope| {
            let busy: Vec<_> = (0..4)
                .map(|_| {
                    scope.spawn(|| {
                        while !enough.load(Ordering::Relaxed) {
                            churn(1000);
                            goheap::gc();
                        }
                    })
                })
                .collect();
            // With messages and their formatting, as a program has them.
            for round in 0..100 {
                let held = vec![round as u8; 10_000];
                let panics = scope.spawn(move || assert!(held.is_empty(), "round {round}"));
                assert!(panics.join().is_err());
            }
            enough.store(true, Ordering::Relaxed);
            for thread in busy {
                thread.join().expect("a busy thread is not harmed");
            }
        });
        sound();
        let kept = counters::at_rest().mcache_inuse;
        assert!(kept <= start.mcache_inuse, "{kept} bytes of caches in use");
    };
    let outcome = child::run(threads_go_on_while_others_panic, |_| {}, body).expect_success();
    assert!(outcome.stderr.contains("round 99"), "{outcome}");
}
