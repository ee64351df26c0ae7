//! Threads come and go: what they allocate outlives them, and they may allocate and free to
//! their very end, after their cache has been taken from them too.

use std::alloc::{GlobalAlloc, Layout};
use std::cell::RefCell;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, mpsc};
use std::{ptr, thread};

use goheap::GoHeap;

#[path = "support/child.rs"]
mod child;
#[path = "support/counters.rs"]
mod counters;

#[global_allocator]
static HEAP: GoHeap = GoHeap::new();

/// Runs a body in a child, where what it allocates is told from what other tests do, and
/// expects that it leaves nothing.
#[track_caller]
fn leaves_nothing<T: Fn()>(test: T, body: fn()) {
    let measured = || {
        // The first thread makes the standard library allocate what it keeps.
        join(thread::spawn(|| {}));
        let start = counters::at_rest();
        body();
        let end = counters::at_rest();
        counters::assert_returned(&start, &end);
        assert!(
            end.mallocs > start.mallocs + 1000,
            "too little was allocated to tell anything"
        );
    };
    child::run(test, |_| {}, measured).expect_success();
}

fn join<T>(thread: thread::JoinHandle<T>) -> T {
    thread.join().expect("the thread ends in order")
}

/// Some objects of various sizes, each filled with its number.
fn objects(count: usize) -> Vec<Vec<u8>> {
    (0..count)
        .map(|number| vec![number as u8; 1 + number * 37 % 3000])
        .collect()
}

fn assert_intact(objects: &[Vec<u8>]) {
    for (number, object) in objects.iter().enumerate() {
        assert!(
            object.iter().all(|&byte| byte == number as u8),
            "object {number} has changed"
        );
    }
}

static DESTROYED: AtomicUsize = AtomicUsize::new(0);

/// Frees what it holds when its thread ends, and allocates meanwhile.
struct Late(Vec<Vec<u8>>);

impl Drop for Late {
    fn drop(&mut self) {
        let fresh = objects(50);
        assert_intact(&self.0);
        self.0.clear();
        assert_intact(&fresh);
        DESTROYED.fetch_add(1, Ordering::Relaxed);
    }
}

thread_local! {
    static FIRST: RefCell<Late> = const { RefCell::new(Late(Vec::new())) };
    static SECOND: RefCell<Late> = const { RefCell::new(Late(Vec::new())) };
}

#[test]
fn destructors_of_thread_locals_allocate_and_free() {
    leaves_nothing(destructors_of_thread_locals_allocate_and_free, || {
        for round in 0..100 {
            join(thread::spawn(move || {
                // One registered before the thread's first allocation in here, one after.
                FIRST.with_borrow_mut(|late| late.0 = objects(50));
                let passing = objects(round);
                SECOND.with_borrow_mut(|late| late.0 = objects(50));
                assert_intact(&passing);
            }));
        }
        assert_eq!(DESTROYED.load(Ordering::Relaxed), 200);
    });
}

/// A thread-local whose destructor runs another's first use.
struct Chained;

impl Drop for Chained {
    fn drop(&mut self) {
        // May be gone already, depending on the order of the destructors: either is fine.
        let _ = FIRST.try_with(|late| late.borrow_mut().0 = objects(20));
    }
}

thread_local! {
    static CHAINED: Chained = const { Chained };
}

#[test]
fn a_destructor_that_starts_another_thread_local() {
    leaves_nothing(a_destructor_that_starts_another_thread_local, || {
        for _ in 0..100 {
            join(thread::spawn(|| CHAINED.with(|_| ())));
        }
    });
}

static ROUNDS: AtomicUsize = AtomicUsize::new(0);

/// A key's destructor that sets the key again until the C library gives up on it: so its last
/// rounds come after every other key's destructor, the heap's own among them.
extern "C" fn until_the_last_round(value: *mut libc::c_void) {
    ROUNDS.fetch_add(1, Ordering::Relaxed);
    // SAFETY: the value is the box that the thread, or the round before, has left.
    let held = unsafe { Box::from_raw(value.cast::<Vec<Vec<u8>>>()) };
    assert_intact(&held);
    drop(held);
    leave_in_key(objects(30));
}

static KEY: AtomicUsize = AtomicUsize::new(usize::MAX);

fn leave_in_key(objects: Vec<Vec<u8>>) {
    let key = KEY.load(Ordering::Relaxed) as libc::pthread_key_t;
    // SAFETY: the key was created before any thread of the test was started.
    let error = unsafe { libc::pthread_setspecific(key, Box::into_raw(Box::new(objects)).cast()) };
    assert_eq!(error, 0);
}

#[test]
fn destructors_of_pthread_keys_allocate_and_free_to_the_last_round() {
    let body = || {
        let mut key = 0;
        // SAFETY: the destructor expects what `leave_in_key` leaves.
        let error = unsafe { libc::pthread_key_create(&mut key, Some(until_the_last_round)) };
        assert_eq!(error, 0);
        KEY.store(key as usize, Ordering::Relaxed);
        const THREADS: usize = 50;
        for _ in 0..THREADS {
            join(thread::spawn(|| leave_in_key(objects(30))));
        }
        let rounds = ROUNDS.load(Ordering::Relaxed);
        assert!(
            rounds >= 2 * THREADS,
            "{rounds} rounds: none came after the others' destructors"
        );
        // What the last rounds left is leaked; all else went back, and the counters agree.
        counters::at_rest();
    };
    child::run(
        destructors_of_pthread_keys_allocate_and_free_to_the_last_round,
        |_| {},
        body,
    )
    .expect_success();
}

#[test]
fn objects_outlive_the_thread_that_allocated_them() {
    leaves_nothing(objects_outlive_the_thread_that_allocated_them, || {
        let kept: Vec<_> = (0..64)
            .map(|_| join(thread::spawn(|| objects(200))))
            .collect();
        goheap::gc();
        goheap::gc();
        kept.iter().for_each(|objects| assert_intact(objects));
        // Freed by one thread, then by another that has never allocated.
        let (here, there) = kept.split_at(32);
        let there = there.to_vec();
        join(thread::spawn(move || drop(there)));
        drop(here.to_vec());
    });
}

#[test]
fn what_a_dead_thread_left_free_is_used_again() {
    let body = || {
        let peak = |rounds: usize| {
            for _ in 0..rounds {
                join(thread::spawn(|| drop(objects(500))));
                goheap::gc();
            }
            counters::at_rest().heap_sys
        };
        // Were caches and spans lost with their threads, this would grow with each.
        let (after_few, after_many) = (peak(20), peak(200));
        assert!(
            after_many <= after_few + (8 << 20),
            "HeapSys went from {after_few} to {after_many}"
        );
    };
    child::run(what_a_dead_thread_left_free_is_used_again, |_| {}, body).expect_success();
}

#[test]
fn many_threads_at_once() {
    leaves_nothing(many_threads_at_once, || {
        const THREADS: usize = 200;
        let barrier = Arc::new(Barrier::new(THREADS));
        let threads: Vec<_> = (0..THREADS)
            .map(|number| {
                let barrier = Arc::clone(&barrier);
                thread::spawn(move || {
                    barrier.wait();
                    let kept = objects(100);
                    for _ in 0..20 {
                        drop(objects(number % 50));
                    }
                    assert_intact(&kept);
                    barrier.wait();
                    assert_intact(&kept);
                })
            })
            .collect();
        threads.into_iter().for_each(join);
    });
}

#[test]
fn collections_by_all_threads_at_once() {
    leaves_nothing(collections_by_all_threads_at_once, || {
        let threads: Vec<_> = (0..8)
            .map(|_| {
                thread::spawn(|| {
                    for round in 0..30 {
                        let kept = objects(60);
                        match round % 10 {
                            9 => goheap::free_os_memory(),
                            _ => goheap::gc(),
                        }
                        counters::audited();
                        assert_intact(&kept);
                    }
                })
            })
            .collect();
        threads.into_iter().for_each(join);
    });
}

#[test]
fn one_thread_frees_what_many_allocate() {
    leaves_nothing(one_thread_frees_what_many_allocate, || {
        let (send, receive) = mpsc::channel::<Vec<Vec<u8>>>();
        let producers: Vec<_> = (0..8)
            .map(|_| {
                let send = send.clone();
                thread::spawn(move || {
                    for _ in 0..50 {
                        send.send(objects(40))
                            .expect("the receiver outlives the senders");
                    }
                })
            })
            .collect();
        drop(send);
        let received = receive
            .into_iter()
            .inspect(|objects| assert_intact(objects))
            .count();
        producers.into_iter().for_each(join);
        assert_eq!(received, 400);
    });
}

#[test]
fn a_freed_object_is_dead_but_not_free_until_a_cycle() {
    let body = || {
        goheap::set_gc_percent(-1);
        let layout = Layout::from_size_align(1 << 20, 8).expect("a layout");
        let before = counters::at_rest();
        // SAFETY: allocated and freed once, with the same layout.
        unsafe {
            let object = HEAP.alloc(layout);
            assert_ne!(object, ptr::null_mut());
            HEAP.dealloc(object, layout);
        }
        let dead = counters::audited();
        assert!(
            dead.heap_alloc >= before.heap_alloc + (1 << 20),
            "a free reclaimed by itself"
        );
        let after = counters::at_rest();
        assert!(
            after.heap_alloc < dead.heap_alloc,
            "two cycles did not reclaim"
        );
    };
    child::run(
        a_freed_object_is_dead_but_not_free_until_a_cycle,
        |_| {},
        body,
    )
    .expect_success();
}

/// A thread's cache is larger than what is left of such a stack.
#[test]
fn threads_with_the_smallest_stacks_allocate() {
    extern "C" fn body(_: *mut libc::c_void) -> *mut libc::c_void {
        (0..2000).for_each(|n| drop(std::hint::black_box(vec![1_u8; n])));
        std::ptr::null_mut()
    }
    for _ in 0..50 {
        // SAFETY: plain C structures, initialised before they are used; the thread is waited for.
        unsafe {
            let mut attributes: libc::pthread_attr_t = std::mem::zeroed();
            let mut thread: libc::pthread_t = std::mem::zeroed();
            libc::pthread_attr_init(&mut attributes);
            let least = libc::PTHREAD_STACK_MIN;
            assert_eq!(libc::pthread_attr_setstacksize(&mut attributes, least), 0);
            let null = std::ptr::null_mut();
            assert_eq!(
                libc::pthread_create(&mut thread, &attributes, body, null),
                0
            );
            assert_eq!(libc::pthread_join(thread, std::ptr::null_mut()), 0);
        }
    }
}

/// What collecting took is time on a processor: on a busy machine a sweep waits for one far longer than it works.
#[test]
fn waiting_for_a_processor_is_no_time_of_the_collector() {
    let outcome = child::run(
        waiting_for_a_processor_is_no_time_of_the_collector,
        |_| {},
        || {
            // All threads on one processor, before the heap's begin.
            // SAFETY: plain C structures, as long as said.
            unsafe {
                let mut one: libc::cpu_set_t = std::mem::zeroed();
                libc::CPU_SET(libc::sched_getcpu().max(0) as usize, &mut one);
                assert_eq!(libc::sched_setaffinity(0, size_of_val(&one), &one), 0);
            }
            let live: Vec<Vec<u8>> = (0..50_000).map(|_| vec![1; 1000]).collect();
            let processors = thread::available_parallelism().map_or(1, |n| n.get());
            let begin = std::time::Instant::now();
            while goheap::read_mem_stats().num_gc < 100 {
                for _ in 0..1000 {
                    std::hint::black_box(vec![1u8; 1000]);
                }
            }
            let lasted = begin.elapsed().as_secs_f64();
            let swept: f64 = thread_seconds("goheap-sweep");
            let told = goheap::read_mem_stats().gc_cpu_fraction * lasted;
            child::report("told", told);
            child::report("swept", swept);
            child::report("lasted", lasted);
            child::report("processors", processors);
            drop(live);
        },
    )
    .expect_success();
    let figure = |name| outcome.reported(name).parse::<f64>().expect("a number");
    // At least one processor was counted at the start, so this is a lower bound of what was told.
    assert!(
        figure("told") < figure("swept") + figure("lasted") / 8.0,
        "{outcome}"
    );
}

/// Processor time of the process's threads of this name, in seconds.
fn thread_seconds(name: &str) -> f64 {
    let tasks = std::fs::read_dir("/proc/self/task").expect("threads are told");
    let paths = tasks.map(|task| task.expect("a thread").path());
    let named = paths.filter(|path| {
        std::fs::read_to_string(path.join("comm")).is_ok_and(|comm| comm.trim() == name)
    });
    let nanoseconds = named.map(|path| {
        let text = std::fs::read_to_string(path.join("schedstat")).unwrap_or_default();
        text.split(' ')
            .next()
            .and_then(|ns| ns.parse::<f64>().ok())
            .unwrap_or(0.0)
    });
    nanoseconds.sum::<f64>() / 1e9
}
