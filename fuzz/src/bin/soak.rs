//! Hours of everything at once, on the process's heap.
//!
//! Threads allocate, resize, free and hand each other blocks whose bytes tell whose they are, while the
//! limit and GOGC flap, the system refuses all memory for moments, children are forked and cycles forced. It goes in
//! rounds: after each one all is freed, the counters and all structures must agree, and what
//! stays in memory is told. Ends with 1, and says what is wrong, at the first thing that is.

use clap::Parser;
use goheap::{Cause, Explanation, GoHeap};
use std::alloc::{GlobalAlloc, Layout};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Barrier, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// A value: what runs short of memory here is not the standard library.
static HEAP: GoHeap = GoHeap::new();

/// Runs the heap under everything at once, and says how it did.
#[derive(Parser)]
struct Arguments {
    /// For how long.
    #[arg(long, default_value_t = 1.0, value_parser = positive)]
    minutes: f64,
    /// How many threads allocate.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=256))]
    threads: u16,
    /// Starts the random numbers; the same seed asks for the same sizes, not the same interleaving.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

fn positive(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|m| *m > 0.0 && *m < 1e6);
    number.ok_or_else(|| format!("{text:?} is no number of minutes above 0"))
}

/// Blocks that a thread holds.
const HELD: usize = 400;
/// Bytes that a thread holds before it only frees.
const BYTES: usize = 24 << 20;
const ROUND: Duration = Duration::from_secs(10);
/// Long enough for all that grows with the largest heap so far: span headers, tables, and what the C
/// library holds for these threads.
const WARM_UP: Duration = Duration::from_secs(60);
/// What a machine that is busy with something else must have allocated by then, however long it takes.
const WARM_UP_BLOCKS: u64 = 200_000;
/// The highest limit, in MiB, so that there is a largest heap.
const HIGHEST: i64 = 300;

/// Of the heap's pages, in bytes.
const HALF_PAGE: usize = 4 << 10;

/// Xorshift.
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % n
    }

    /// Sizes by their logarithm: mostly small, up to 8 MiB. Large ones come in steps of an eighth, less
    /// up to half a page: the heap profile keeps a site for each number of pages, and for ever, so that there are
    /// few enough to have met most of them by the end of the warm-up.
    fn size(&mut self) -> usize {
        let log2 = self.below(12) + if self.below(50) == 0 { 11 } else { 0 };
        if log2 < 15 {
            return (1 << log2) + self.below(1 << log2);
        }
        (1 << log2) + ((1 + self.below(8)) << (log2 - 3)) - self.below(HALF_PAGE)
    }
}

/// Memory whose every byte follows from its seed.
struct Block {
    at: *mut u8,
    layout: Layout,
    seed: u8,
}

// SAFETY: plain memory with one owner, the holder of this value.
unsafe impl Send for Block {}

impl Block {
    fn byte(&self, i: usize) -> u8 {
        self.seed ^ (i >> 8) as u8
    }

    fn fill(&self, from: usize) {
        for i in from..self.layout.size() {
            // SAFETY: within the block.
            unsafe { self.at.add(i).write(self.byte(i)) };
        }
    }

    fn is_intact(&self) -> bool {
        // SAFETY: within the block, written by `fill`.
        (0..self.layout.size()).all(|i| unsafe { self.at.add(i).read() } == self.byte(i))
    }

    /// `None` where there is no memory.
    fn new(random: &mut Random) -> Option<Self> {
        let (size, align) = (random.size(), 1 << random.below(8));
        let layout = Layout::from_size_align(size, align).ok()?;
        let zeroed = random.below(5) == 0;
        // SAFETY: the layout has a size.
        let at = unsafe {
            match zeroed {
                true => HEAP.alloc_zeroed(layout),
                false => HEAP.alloc(layout),
            }
        };
        if at.is_null() {
            return None;
        }
        // SAFETY: zeroed, so initialised, and as long as that.
        let zero = !zeroed || (0..size).all(|i| unsafe { at.add(i).read() } == 0);
        let seed = random.below(256) as u8;
        let block = Self { at, layout, seed };
        expect(zero, "zeroed memory was not zero");
        block.fill(0);
        Some(block)
    }

    fn resize(&mut self, size: usize) -> bool {
        // SAFETY: allocated with this layout; the size is neither zero nor huge.
        let at = unsafe { HEAP.realloc(self.at, self.layout, size) };
        if at.is_null() {
            return false;
        }
        let kept = self.layout.size().min(size);
        let Ok(layout) = Layout::from_size_align(size, self.layout.align()) else {
            return false;
        };
        (self.at, self.layout) = (at, layout);
        self.fill(kept);
        true
    }

    fn free(self) {
        expect(self.is_intact(), "a block lost its contents");
        // SAFETY: allocated with this layout, and given up here.
        unsafe { HEAP.dealloc(self.at, self.layout) };
    }
}

#[track_caller]
fn expect(holds: bool, otherwise: &str) {
    if !holds {
        eprintln!("soak: {otherwise}");
        std::process::exit(1);
    }
}

#[derive(Default)]
struct Tally {
    blocks: AtomicU64,
    refused: AtomicU64,
    forks: AtomicU64,
    shortages: AtomicU64,
}

struct Round<'a> {
    tally: &'a Tally,
    over: AtomicBool,
    /// The threads and who disturbs them: a thread's start takes memory that the heap does not give.
    started: Barrier,
    /// Blocks on their way from one thread to another.
    exchange: Vec<Mutex<Option<Block>>>,
}

impl Round<'_> {
    fn work(&self, mut random: Random) {
        let mut held: Vec<Block> = Vec::with_capacity(HELD + 1);
        let mut bytes = 0;
        self.started.wait();
        while !self.over.load(Relaxed) {
            let full = held.len() == HELD || bytes > BYTES;
            match random.below(10) {
                0..=5 if !full => match Block::new(&mut random) {
                    Some(block) => {
                        bytes += block.layout.size();
                        held.push(block);
                        self.tally.blocks.fetch_add(1, Relaxed);
                    }
                    None => {
                        self.tally.refused.fetch_add(1, Relaxed);
                        thread::yield_now();
                    }
                },
                6 if !held.is_empty() => {
                    let i = random.below(held.len());
                    let (old, size) = (held[i].layout.size(), random.size());
                    expect(held[i].is_intact(), "a block lost its contents");
                    if held[i].resize(size) {
                        bytes = bytes - old + size;
                    }
                }
                7 if !held.is_empty() => {
                    let block = held.swap_remove(random.below(held.len()));
                    bytes -= block.layout.size();
                    let place = &self.exchange[random.below(self.exchange.len())];
                    let mut place = place.lock().unwrap_or_else(PoisonError::into_inner);
                    if let Some(other) = place.replace(block) {
                        bytes += other.layout.size();
                        held.push(other);
                    }
                }
                _ if !held.is_empty() => {
                    let block = held.swap_remove(random.below(held.len()));
                    bytes -= block.layout.size();
                    block.free();
                }
                _ => {}
            }
        }
        held.into_iter().for_each(Block::free);
    }

    /// Turns knobs, forks, has the system refuse memory for moments, until the round is over and so many blocks were
    /// allocated since the start.
    fn disturb(&self, mut random: Random, until: Instant, blocks: u64) {
        let goes_on =
            |until, blocks| Instant::now() < until || self.tally.blocks.load(Relaxed) < blocks;
        // To the limit at once.
        goheap::set_memory_limit(HIGHEST << 20);
        goheap::set_gc_percent(-1);
        let now = Instant::now();
        let full = now + ROUND.min(until.saturating_duration_since(now)) / 5;
        while goes_on(full, blocks / 2) {
            thread::sleep(Duration::from_millis(20));
        }
        while goes_on(until, blocks) {
            match random.below(8) {
                0 => goheap::gc(),
                1 => goheap::free_os_memory(),
                2 | 3 => {
                    goheap::set_gc_percent([-1, 5, 50, 100, 400][random.below(5)]);
                }
                4 | 5 => {
                    let mib = [1, 20, 100, HIGHEST][random.below(4)];
                    goheap::set_memory_limit(mib << 20);
                }
                6 => {
                    expect(forked(), "a forked child found its heap broken");
                    self.tally.forks.fetch_add(1, Relaxed);
                }
                _ => {
                    shortage(Duration::from_millis(20));
                    self.tally.shortages.fetch_add(1, Relaxed);
                }
            }
            thread::sleep(Duration::from_millis(random.below(30) as u64));
        }
        goheap::set_gc_percent(100);
        goheap::set_memory_limit(i64::MAX);
    }
}

/// Forks; whether the child found its heap in order.
fn forked() -> bool {
    // SAFETY: the child uses the heap and nothing that another thread may have left locked.
    let child = unsafe { libc::fork() };
    if child == 0 {
        // SAFETY: ends the child alone if it hangs.
        unsafe { libc::alarm(120) };
        let sound = Block::new(&mut Random::new(7)).is_none_or(|b| {
            let intact = b.is_intact();
            goheap::gc();
            intact && b.is_intact()
        });
        let checked = goheap::check();
        if let Err(findings) = &checked {
            eprintln!("soak: in a forked child: {findings}");
        }
        // SAFETY: ends the child alone.
        unsafe { libc::_exit(i32::from(!(sound && checked.is_ok()))) };
    }
    let mut status = 0;
    // SAFETY: just forked, and nobody else waits for it.
    child > 0 && unsafe { libc::waitpid(child, &mut status, 0) } == child && status == 0
}

/// For a moment the system lets nobody in this process have more memory than they have.
fn shortage(moment: Duration) {
    let mut before = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: reads and writes one structure.
    unsafe {
        libc::getrlimit(libc::RLIMIT_DATA, &mut before);
        let none = libc::rlimit {
            rlim_cur: 1,
            ..before
        };
        libc::setrlimit(libc::RLIMIT_DATA, &none);
        thread::sleep(moment);
        libc::setrlimit(libc::RLIMIT_DATA, &before);
    }
}

/// Runs a round until so many blocks were allocated in all; says what is resident once all is freed and given back.
fn round(
    arguments: &Arguments,
    number: u64,
    tally: &Tally,
    length: Duration,
    blocks: u64,
) -> Explanation {
    let round = Round {
        tally,
        over: AtomicBool::new(false),
        started: Barrier::new(usize::from(arguments.threads) + 1),
        exchange: (0..64).map(|_| Mutex::new(None)).collect(),
    };
    let random = |i: u64| Random::new(arguments.seed + number * 1000 + i);
    thread::scope(|scope| {
        let round = &round;
        let threads: Vec<_> = (0..u64::from(arguments.threads))
            .map(|i| scope.spawn(move || round.work(random(i))))
            .collect();
        round.started.wait();
        round.disturb(random(999), Instant::now() + length, blocks);
        round.over.store(true, Relaxed);
        // One by one: the scope alone waits for the closures, not for the ends of the threads, which
        // hand their caches back.
        for thread in threads {
            expect(thread.join().is_ok(), "a thread panicked");
        }
    });
    for place in round.exchange {
        let left = place.into_inner().unwrap_or_else(PoisonError::into_inner);
        left.into_iter().for_each(Block::free);
    }
    goheap::gc();
    goheap::free_os_memory();
    // The C library keeps what this program itself used: as much as its threads had at once by chance.
    // SAFETY: a call without arguments that matter.
    unsafe { libc::malloc_trim(0) };
    let stats = goheap::read_mem_stats();
    if let Err(violation) = goheap_stats::audit(&stats) {
        expect(false, &violation.to_string());
    }
    if let Err(findings) = goheap::check() {
        expect(false, &findings.to_string());
    }
    let left = format!("{} objects are left of what was freed", stats.heap_objects);
    expect(stats.heap_objects == 0, &left);
    match goheap::explain() {
        Ok(explanation) => explanation,
        Err(error) => {
            eprintln!("soak: cannot read /proc/self/smaps: {error}");
            std::process::exit(1);
        }
    }
}

/// Bytes that may be resident at rest: a twentieth more than at the start.
fn most(first: &Explanation) -> u64 {
    first.rss + first.rss / 20
}

/// Of which causes more than a few pages have come or gone.
fn print_changes(first: &Explanation, last: &Explanation) {
    for cause in Cause::ALL {
        let (before, after) = (first.bytes(cause) >> 10, last.bytes(cause) >> 10);
        if before.abs_diff(after) > 16 {
            println!(
                "soak:   {}: {before} kB at the start, {after} kB now",
                cause.name()
            );
        }
    }
}

fn main() {
    let arguments = Arguments::parse();
    let tally = Tally::default();
    let begun = Instant::now();
    let end = begun + Duration::from_secs_f64(arguments.minutes * 60.0);
    let first = round(&arguments, 0, &tally, WARM_UP, WARM_UP_BLOCKS);
    println!(
        "soak: seed {}, {} kB resident after a warm-up",
        arguments.seed,
        first.rss >> 10
    );
    let (mut last, mut rounds) = (first.clone(), 0);
    while Instant::now() < end {
        rounds += 1;
        let length = ROUND.min(end.saturating_duration_since(Instant::now()));
        last = round(&arguments, rounds, &tally, length, 0);
        println!(
            "soak: {:.1} min, {} blocks, {} refused, {} forks, {} shortages, {} cycles, {} kB resident at rest",
            begun.elapsed().as_secs_f64() / 60.0,
            tally.blocks.load(Relaxed),
            tally.refused.load(Relaxed),
            tally.forks.load(Relaxed),
            tally.shortages.load(Relaxed),
            goheap::read_mem_stats().num_gc,
            last.rss >> 10,
        );
        if last.rss > most(&first) {
            print_changes(&first, &last);
        }
    }
    println!(
        "soak: nothing found in {rounds} rounds; {} kB resident at rest at the start, {} kB at the end",
        first.rss >> 10,
        last.rss >> 10,
    );
    expect(
        last.rss <= most(&first),
        "more memory stays resident than at the start",
    );
}
