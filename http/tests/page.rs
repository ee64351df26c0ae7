//! The live page in a real browser: it shows what the heap does, and its knobs turn the heap's.

use std::hint::black_box;
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

#[path = "support/browser.rs"]
mod browser;
#[path = "../../tests/support/child.rs"]
mod child;

use browser::Browser;

#[global_allocator]
static HEAP: goheap::GoHeap = goheap::GoHeap::new();

/// Allocates and frees 32 MiB or so over and over.
fn churn(stop: &AtomicBool) {
    let mut kept: Vec<Vec<u8>> = vec![Vec::new(); 2000];
    let mut n = 0_usize;
    while !stop.load(Ordering::Relaxed) {
        n += 1;
        let slot = n.wrapping_mul(7919) % kept.len();
        kept[slot] = vec![1; 1 + n.wrapping_mul(31) % 32_000];
        if n.is_multiple_of(100) {
            thread::sleep(Duration::from_millis(1));
        }
    }
    black_box(kept);
}

/// Where GOHEAP_TEST_PICTURES says, a picture to look at.
fn keep_picture(browser: &mut Browser, name: &str) {
    if let Some(folder) = std::env::var_os("GOHEAP_TEST_PICTURES") {
        let path = std::path::Path::new(&folder).join(name);
        std::fs::write(path, browser.picture()).expect("it can be written");
    }
}

#[test]
fn the_page_shows_what_the_heap_does_and_turns_its_knobs() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let port = listener.local_addr().expect("it has an address").port();
    drop(listener);
    let at = |command: &mut std::process::Command| {
        command.env("GOHEAP_HTTP", format!("127.0.0.1:{port}"));
    };
    let body = || {
        let Some(mut browser) = Browser::start(false) else {
            return;
        };
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| churn(&stop));
            // Ends the thread whatever fails.
            let _stopped = Stop(&stop);
            drive(&mut browser);
            if let Some(mut dark) = Browser::start(true) {
                dark.open(&address());
                dark.wait_for("rows.length > 5");
                keep_picture(&mut dark, "page-dark.txt");
            }
        });
    };
    let test = the_page_shows_what_the_heap_does_and_turns_its_knobs;
    let outcome = child::run(test, at, body).expect_success();
    println!("{}", outcome.stdout);
}

struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn address() -> String {
    format!(
        "http://{}/",
        std::env::var("GOHEAP_HTTP").expect("the parent sets it")
    )
}

/// Waits until the server listens: a browser that finds nobody there does not ask again.
fn wait_for_server() {
    let at = std::env::var("GOHEAP_HTTP").expect("the parent sets it");
    let begun = Instant::now();
    while TcpStream::connect(&at).is_err() {
        assert!(begun.elapsed() < Duration::from_secs(60), "nobody at {at}");
        thread::sleep(Duration::from_millis(20));
    }
}

fn drive(browser: &mut Browser) {
    wait_for_server();
    browser.open(&address());
    // Live: look after look, of this process, and cycles as they come.
    browser.wait_for("typeof rows === 'object' && rows.length > 3");
    let pid = std::process::id();
    browser.wait_for(&format!(
        "document.getElementById('status').textContent.includes('process {pid}, live')"
    ));
    let allocated = "rows[rows.length - 1].total_alloc";
    let before = browser.evaluate(allocated).as_u64().expect("a number");
    browser.wait_for(&format!(
        "{allocated} > {before} && Number(document.getElementById('cycles').dataset.count) > 3"
    ));
    // What is drawn is what is told: the areas end where the heap does.
    browser.wait_for("document.querySelectorAll('#areas path[d]').length === 5");
    let figure = "document.querySelector('[data-figure=rss]').textContent";
    let rss = browser.evaluate(&format!("{figure} === bytes(rows[rows.length - 1].rss)"));
    assert_eq!(rss, true);

    // The map: what it has live is what the counters have, and its squares are painted.
    let live = "Number(document.querySelector('[data-kind=live]').dataset.bytes)";
    browser.wait_for("document.querySelectorAll('[data-kind]').length === 6");
    browser.wait_for("Number(document.getElementById('map').dataset.squares) > 1000");
    browser.wait_for(&format!(
        "{live} > 8 * 2 ** 20 && {live} <= rows[rows.length - 1].heap_sys"
    ));
    let colors = "(() => { const map = document.getElementById('map'); \
         const data = map.getContext('2d').getImageData(0, 0, map.width, map.height).data; \
         const seen = new Set(); \
         for (let at = 0; at < data.length; at += 4) \
           if (data[at + 3] === 255) seen.add(data[at] << 16 | data[at + 1] << 8 | data[at + 2]); \
         return seen.size; })()";
    browser.wait_for(&format!("{colors} > 2"));

    // Turned in the page, as a hand would.
    let turn = |knob: &str, value: &str| {
        format!(
            "(() => {{ const form = document.querySelector('form[data-knob={knob}]'); \
             form.elements.value.value = '{value}'; form.requestSubmit(); }})()"
        )
    };
    browser.evaluate(&turn("gogc", "37"));
    browser.wait_for("document.getElementById('said').textContent === 'GOGC=37'");
    assert_eq!(goheap::set_gc_percent(37), 37);
    browser.evaluate(&turn("memlimit", "3GiB"));
    browser.wait_for("document.getElementById('memlimit').value === '3GiB' && rows[rows.length - 1].memory_limit === 3 * 2 ** 30");
    assert_eq!(goheap::set_memory_limit(-1), 3 << 30);
    browser.evaluate(&turn("gogc", "much"));
    browser.wait_for(
        "document.getElementById('said').textContent.includes('GOGC=much is not understood')",
    );
    assert_eq!(goheap::set_gc_percent(37), 37);

    let forced = goheap::read_mem_stats().num_forced_gc;
    browser.evaluate("document.querySelector('[data-path=\"/debug/gc\"]').click()");
    browser.wait_for(&format!("rows[rows.length - 1].forced === {}", forced + 1));
    let released = goheap::read_mem_stats().num_forced_gc;
    browser.evaluate("document.querySelector('[data-path=\"/debug/free\"]').click()");
    browser.wait_for(
        "document.getElementById('said').textContent.includes('went back to the system')",
    );
    assert_eq!(goheap::read_mem_stats().num_forced_gc, released + 1);
    keep_picture(browser, "page-light.txt");
}
