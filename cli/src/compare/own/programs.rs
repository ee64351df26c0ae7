//! What whole programs do with memory, in small.

use std::collections::VecDeque;

use super::Named;
use super::script::{Object, Script};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

/// By name.
pub const ALL: &[Named] = &[
    ("append", append),
    ("batches", batches),
    ("compiler", compiler),
    ("database", database),
    ("editor", editor),
    ("frames", frames),
    ("index", index),
    ("lru", lru),
    ("maps", maps),
    ("parser", parser),
    ("pipeline", pipeline),
    ("requests", requests),
    ("schedule", schedule),
    ("sessions", sessions),
    ("strings", strings),
    ("trees", trees),
];

/// A slice that grows: doubled up to 256 elements, by a quarter and some from there on.
fn grow(script: &mut Script, element: u64, upto: u64) -> Object {
    let mut capacity = 1;
    let mut slice = script.new_object(element);
    while capacity < upto {
        capacity = match capacity {
            ..256 => capacity * 2,
            _ => capacity + (capacity + 768) / 4,
        };
        let larger = script.new_object(capacity * element);
        script.drop(slice);
        slice = larger;
    }
    slice
}

/// Slices grow by appending, and some are kept.
fn append(script: &mut Script) {
    let mut kept = Vec::new();
    for round in 0..2000 {
        let (element, length) = (8 << script.below(4), script.scaled(16, 10));
        kept.push(grow(script, element, length));
        if kept.len() > 200 {
            let slice = script.pick(&mut kept);
            script.drop(slice);
        }
        if round % 100 == 99 {
            script.snapshot(format_args!("append{round}"));
        }
    }
}

/// Phases, each of which builds its own structures from the last one's and drops these.
fn compiler(script: &mut Script) {
    let mut last: Vec<Object> = Vec::new();
    for (phase, nodes) in [30_000, 80_000, 60_000, 120_000, 40_000, 90_000, 10_000]
        .into_iter()
        .enumerate()
    {
        let mut next = Vec::new();
        for node in 0..nodes {
            let bytes = [16, 24, 32, 48, 48, 64, 96, 144, 208, 512][script.below(10) as usize];
            next.push(script.new_object(bytes));
            for _ in 0..script.below(3) {
                let bytes = script.between(8, 128);
                script.pass(bytes);
            }
            if node == nodes / 2 {
                script.snapshot(format_args!("within{phase}"));
            }
        }
        script.snapshot(format_args!("built{phase}"));
        script.drop_all(last.drain(..));
        script.snapshot(format_args!("dropped{phase}"));
        last = next;
    }
}

/// Batches of records: read by blocks, split into fields, counted in a table of keys that grows; a rest after each, and from the
/// fourth on less memory to have.
fn batches(script: &mut Script) {
    let (mut keys, mut table) = (Vec::new(), grow(script, 8, 64));
    for batch in 0..8 {
        if batch == 4 {
            script.percent(50);
        }
        for block in 0..40 {
            let read = script.new_object(128 * KIB);
            let mut fields = Vec::new();
            for _ in 0..script.between(500, 1500) {
                let bytes = script.scaled(12, 4);
                fields.push(script.new_object(bytes));
                if script.below(12 + batch * 4) == 0 {
                    let bytes = script.between(24, 96);
                    keys.push(script.new_object(bytes));
                }
            }
            script.drop_all(fields);
            script.drop(read);
            if block % 20 == 19 {
                script.snapshot(format_args!("batch{batch}-{block}"));
            }
        }
        let larger = grow(script, 16, keys.len() as u64 * 2);
        script.drop(table);
        table = larger;
        script.sleep(60);
        script.snapshot(format_args!("rested{batch}"));
    }
    script.drop_all(keys);
    script.collect();
    script.snapshot(format_args!("end"));
}

/// Pictures, one after the other: two buffers in turn, lists of what is to be drawn, and a scene that is left for another
/// after fifty.
fn frames(script: &mut Script) {
    let (mut scene, mut shown) = (Vec::new(), Vec::new());
    for frame in 0..250_u64 {
        if frame % 50 == 0 {
            script.drop_all(scene.drain(..));
            for _ in 0..6000 + frame % 3 * 9000 {
                let bytes = [48, 80, 112, 256, 1024][script.below(5) as usize];
                scene.push(script.new_object(bytes));
            }
            for _ in 0..8 {
                let bytes = script.between(256 * KIB, 2 * MIB);
                scene.push(script.new_object(bytes));
            }
            script.snapshot(format_args!("scene{frame}"));
        }
        let picture = script.new_object(1200 * KIB);
        let mut drawn = Vec::new();
        for _ in 0..script.between(200, 800) {
            let bytes = script.scaled(32, 3);
            drawn.push(script.new_object(bytes));
        }
        drawn.push(grow(script, 24, 900));
        script.drop_all(drawn);
        script.drop_all(shown.drain(..));
        shown.push(picture);
        if frame % 25 == 24 {
            script.snapshot(format_args!("frame{frame}"));
        }
    }
}

/// An index of words: lists of places that grow, a few of them very long; written out by segments, which are merged.
fn index(script: &mut Script) {
    let mut segments: Vec<(Object, u64)> = Vec::new();
    for segment in 0..10 {
        let (mut lists, mut bytes) = (Vec::new(), 0);
        for word in 0..5000_u64 {
            let longest = 20_000 / (word + 1) + 4;
            let places = script.between(1, longest);
            lists.push(grow(script, 8, places));
            let spelt = script.between(4, 20);
            lists.push(script.new_object(spelt));
            bytes += places * 3 + spelt;
        }
        script.snapshot(format_args!("built{segment}"));
        segments.push((script.new_object(bytes), bytes));
        script.drop_all(lists);
        script.snapshot(format_args!("written{segment}"));
        if segments.len() == 4 {
            let bytes = segments.iter().map(|(_, bytes)| bytes).sum();
            let merged = script.new_object(bytes);
            script.drop_all(segments.drain(..).map(|(object, _)| object));
            segments.push((merged, bytes));
            script.snapshot(format_args!("merged{segment}"));
        }
    }
}

/// Pages of 8 KiB in a pool, rows of a few hundred bytes for a query's length, now and then a sort.
fn database(script: &mut Script) {
    let mut pool = Vec::new();
    for query in 0..3000 {
        if pool.len() < 3000 {
            pool.extend((0..4).map(|_| script.new_object(8 * KIB)));
        } else {
            let page = script.pick(&mut pool);
            script.drop(page);
            pool.push(script.new_object(8 * KIB));
        }
        let rows = script.scaled(4, 8);
        let rows: Vec<_> = (0..rows)
            .map(|_| {
                let bytes = script.between(64, 600);
                script.new_object(bytes)
            })
            .collect();
        if query % 50 == 0 {
            let bytes = script.between(MIB, 4 * MIB);
            script.pass(bytes);
        }
        script.drop_all(rows);
        if query % 150 == 149 {
            script.snapshot(format_args!("query{query}"));
        }
    }
}

/// A cache whose capacity grows; the entry used longest ago goes. Its table doubles.
fn lru(script: &mut Script) {
    let mut entries = VecDeque::new();
    let mut table = script.new_object(KIB);
    let (mut slots, mut held) = (64, 0);
    for k in 0..60_000_u64 {
        let bytes = script.scaled(64, 5);
        entries.push_back((script.new_object(bytes), bytes));
        held += bytes;
        let key = script.between(5, 60);
        script.pass(key);
        while held > (8 + k / 3000) * MIB {
            let Some((oldest, bytes)) = entries.pop_front() else {
                break;
            };
            script.drop(oldest);
            held -= bytes;
        }
        if entries.len() as u64 > slots {
            slots *= 2;
            let larger = script.new_object(slots * 16);
            script.drop(table);
            table = larger;
        }
        if k % 2500 == 2499 {
            script.snapshot(format_args!("lru{k}"));
        }
    }
}

/// Maps that grow by doubling and are dropped.
fn maps(script: &mut Script) {
    let mut maps: Vec<Vec<Object>> = Vec::new();
    for round in 0..60 {
        let entries = script.scaled(64, 9);
        let mut map = Vec::new();
        let (mut slots, mut table) = (8, script.new_object(8 * 40));
        for entry in 0..entries {
            if entry > slots * 7 / 8 {
                slots *= 2;
                let larger = script.new_object(slots * 40);
                script.drop(table);
                table = larger;
            }
            let bytes = script.between(16, 96);
            map.push(script.new_object(bytes));
        }
        map.push(table);
        maps.push(map);
        if maps.len() > 12 {
            let at = script.below(12) as usize;
            let map = maps.swap_remove(at);
            script.drop_all(map);
        }
        if round % 3 == 2 {
            script.snapshot(format_args!("maps{round}"));
        }
    }
}

/// Documents: a buffer, a tree of small nodes and strings, a result that is kept for a while.
fn parser(script: &mut Script) {
    let mut results = VecDeque::new();
    for document in 0..400 {
        let bytes = script.scaled(2 * KIB, 7);
        let buffer = script.new_object(bytes);
        let nodes: Vec<_> = (0..bytes / 60)
            .map(|_| {
                let bytes = match script.below(3) {
                    0 => 16,
                    1 => 40,
                    _ => script.between(3, 40),
                };
                script.new_object(bytes)
            })
            .collect();
        results.push_back(script.new_object(bytes / 4));
        script.drop_all(nodes);
        script.drop(buffer);
        if results.len() > 100 {
            script.drop_all(results.pop_front());
        }
        if document % 20 == 19 {
            script.snapshot(format_args!("document{document}"));
        }
    }
}

/// Messages queue up and are taken in their order; the queue's length swings.
fn pipeline(script: &mut Script) {
    let mut queue = VecDeque::new();
    for k in 0..120_000_u64 {
        let wanted = 4000 + 12_000 * u64::from(k / 20_000 % 2 == 1);
        let bytes = script.scaled(64, 5);
        queue.push_back(script.new_object(bytes));
        let take = if queue.len() as u64 > wanted {
            2
        } else {
            u64::from(k % 8 == 0)
        };
        for _ in 0..take {
            script.drop_all(queue.pop_front());
        }
        if k % 6000 == 5999 {
            script.snapshot(format_args!("message{k}"));
        }
    }
}

/// A service: bursts of requests with a pause between them, a buffer and small objects each.
fn requests(script: &mut Script) {
    let kept: Vec<_> = (0..20_000)
        .map(|_| {
            let bytes = script.scaled(32, 5);
            script.new_object(bytes)
        })
        .collect();
    script.snapshot(format_args!("started"));
    for burst in 0..20 {
        let mut open: Vec<Vec<Object>> = Vec::new();
        for _ in 0..400 {
            let mut request = vec![script.new_object(32 * KIB)];
            for _ in 0..script.between(20, 120) {
                let bytes = script.scaled(8, 8);
                request.push(script.new_object(bytes));
            }
            open.push(request);
            if open.len() > 40 {
                let at = script.below(40) as usize;
                let done = open.swap_remove(at);
                script.drop_all(done);
            }
        }
        script.snapshot(format_args!("burst{burst}"));
        script.drop_all(open.into_iter().flatten());
        script.sleep(20);
        script.snapshot(format_args!("pause{burst}"));
    }
    script.drop_all(kept);
}

/// Users come, stay for long or short, and go; at night there are few.
fn sessions(script: &mut Script) {
    let mut users: Vec<Object> = Vec::new();
    for hour in 0..48_u64 {
        let wanted = 2000 + 500 * (12 - hour.abs_diff(hour / 24 * 24 + 12));
        for _ in 0..4000 {
            let bytes = script.scaled(512, 4);
            users.push(script.new_object(bytes));
            for _ in 0..4 {
                let bytes = script.scaled(16, 6);
                script.pass(bytes);
            }
            while users.len() as u64 > wanted {
                // Half of those who go are the latest.
                let gone = match script.below(2) {
                    0 => users.pop().expect("there are users"),
                    _ => script.pick(&mut users),
                };
                script.drop(gone);
            }
        }
        if hour % 2 == 1 {
            script.snapshot(format_args!("hour{hour}"));
        }
    }
}

/// Strings of 5 to 200 bytes, few of them kept.
fn strings(script: &mut Script) {
    let mut kept = Vec::new();
    for k in 0..300_000_u64 {
        let bytes = if k % 4 == 0 {
            script.between(5, 200)
        } else {
            script.between(5, 40)
        };
        if k % 10 != 0 {
            script.pass(bytes);
            continue;
        }
        kept.push(script.new_object(bytes));
        if kept.len() > 20_000 {
            let string = script.pick(&mut kept);
            script.drop(string);
        }
        if k % 15_000 == 0 {
            script.snapshot(format_args!("string{k}"));
        }
    }
}

/// Trees of equal nodes are built, walked and dropped as a whole.
fn trees(script: &mut Script) {
    let long: Vec<_> = (0..60_000).map(|_| script.new_object(48)).collect();
    for round in 0..20 {
        let nodes = 1 << (6 + round % 10);
        for _ in 0..(1 << 15) / nodes {
            let tree: Vec<_> = (0..nodes).map(|_| script.new_object(48)).collect();
            script.drop_all(tree);
        }
        script.snapshot(format_args!("tree{round}"));
    }
    script.drop_all(long);
}

/// An editor: a text of lines that are replaced one by one, what was there kept to be undone for the last thousand changes, and
/// now and then a file opened or closed, or written out in one piece.
fn editor(script: &mut Script) {
    let mut files: Vec<Vec<Object>> = Vec::new();
    let mut undo = VecDeque::new();
    for change in 0..120_000 {
        if change % 6000 == 0 {
            if files.len() == 6 {
                let oldest = files.remove(0);
                script.drop_all(oldest);
            }
            let lines = script.between(5_000, 40_000);
            let mut file = Vec::new();
            for _ in 0..lines {
                let line = script.between(8, 120);
                file.push(script.new_object(line));
            }
            files.push(file);
            script.snapshot(format_args!("opened{}", change / 6000));
        }
        let at = script.below(files.len() as u64) as usize;
        let line = script.between(8, 120);
        let new = script.new_object(line);
        let old = script.pick(&mut files[at]);
        files[at].push(new);
        undo.push_back(old);
        if undo.len() > 1000
            && let Some(oldest) = undo.pop_front()
        {
            script.drop(oldest);
        }
        script.pass(64);
        if change % 15_000 == 14_999 {
            let bytes = files[at].len() as u64 * 64;
            script.pass(bytes);
            script.snapshot(format_args!("saved{}", change / 15_000));
        }
    }
}

/// A scheduler: jobs that end after one, ten or a hundred rounds, each with a buffer and a few records; more of them in each
/// tenth round, and a rest after each hundredth.
fn schedule(script: &mut Script) {
    let mut due: VecDeque<Vec<Object>> = (0..100).map(|_| Vec::new()).collect();
    for round in 0..1000 {
        let ended = due.pop_front().unwrap_or_default();
        script.drop_all(ended);
        due.push_back(Vec::new());
        let jobs = if round % 10 == 0 { 200 } else { 30 };
        for _ in 0..jobs {
            let rounds = [1, 1, 1, 10, 10, 99][script.below(6) as usize];
            let buffer = script.scaled(256, 6);
            due[rounds].push(script.new_object(buffer));
            for _ in 0..5 {
                let record = script.between(24, 200);
                due[rounds].push(script.new_object(record));
            }
        }
        if round % 100 == 99 {
            script.snapshot(format_args!("busy{}", round / 100));
            script.sleep(20);
            script.snapshot(format_args!("rested{}", round / 100));
        }
    }
}
