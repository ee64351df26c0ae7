//! Sorting and grouping strings on four threads.

use std::collections::HashMap;
use std::sync::Mutex;
use std::thread::{self, JoinHandle};

use rayon::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::{Numbers, digest};

const STRINGS: usize = 100_000;

pub fn run() -> u64 {
    let (pool, threads) = pool_of_four();
    let out = pool.install(|| {
        let mut strings: Vec<String> = (0..STRINGS)
            .into_par_iter()
            .map(|seed| {
                let mut numbers = Numbers(seed as u64 + 1);
                format!(
                    "{:0width$}",
                    numbers.below(50_000),
                    width = numbers.below(60) as usize
                )
            })
            .collect();
        let groups = strings
            .par_iter()
            .fold(
                HashMap::new,
                |mut groups: HashMap<String, Vec<usize>>, string| {
                    groups.entry(string.clone()).or_default().push(string.len());
                    groups
                },
            )
            .reduce(HashMap::new, |mut groups, others| {
                for (string, lengths) in others {
                    groups.entry(string).or_default().extend(lengths);
                }
                groups
            });
        strings.par_sort();
        let mut counts: Vec<(String, usize)> = groups
            .into_par_iter()
            .map(|(string, lengths)| (string, lengths.len()))
            .collect();
        counts.par_sort_unstable();
        digest(&(strings, counts))
    });
    // Dropping the pool only tells its threads to end; what is measured next needs them gone.
    drop(pool);
    for thread in threads {
        thread.join().expect("a thread of the pool ends in order");
    }
    out
}

fn pool_of_four() -> (ThreadPool, Vec<JoinHandle<()>>) {
    let threads = Mutex::new(Vec::new());
    let pool = ThreadPoolBuilder::new()
        .num_threads(4)
        .spawn_handler(|worker| {
            let thread = thread::Builder::new().spawn(|| worker.run())?;
            threads
                .lock()
                .expect("nothing panics under the lock")
                .push(thread);
            Ok(())
        })
        .build()
        .expect("four threads can be started");
    (
        pool,
        threads.into_inner().expect("nothing panics under the lock"),
    )
}
