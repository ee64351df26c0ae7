//! `goheap replay --allocator` runs the same work on several allocators and shows what each took.

mod support;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

use support::{goheap, text, written};

/// 64 MiB held in 1 MiB objects, then dropped, then little ones.
fn burst() -> String {
    let mut trace = String::from("n 64\n");
    (0..64).for_each(|id| trace += &format!("a {id} 1048576\n"));
    (0..64).for_each(|id| trace += &format!("f {id}\n"));
    (0..2000).for_each(|n| trace += &format!("a {} 100\n", n % 64));
    trace
}

fn replay(trace: &Path, allocators: &[&str], out: &Path) -> Output {
    let mut command = goheap();
    command.arg("replay").arg(trace);
    for allocator in allocators {
        command.arg("--allocator").arg(allocator);
    }
    command.arg("--out").arg(out).output().unwrap()
}

/// The table's rows: name, peak, average, end, seconds.
fn rows(printed: &str) -> Vec<(String, Vec<f64>)> {
    let below = printed
        .lines()
        .skip_while(|line| !line.starts_with('─'))
        .skip(1);
    below
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .take_while(|words| words.len() == 5)
        .map(|words| {
            let numbers = words[1..].iter().map(|word| word.parse().expect(word));
            (words[0].to_owned(), numbers.collect())
        })
        .collect()
}

#[test]
fn each_allocator_has_a_row_and_a_line() {
    let folder = TempDir::new().unwrap();
    let out = folder.path().join("chart.svg");
    let trace = written(burst());
    let output = replay(trace.path(), &["goheap,system"], &out);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let rows = rows(&text(&output.stdout));
    let names: Vec<_> = rows.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["goheap", "system"]);
    for (name, numbers) in &rows {
        let [peak, average, end, seconds] = numbers[..] else {
            panic!("{numbers:?}");
        };
        assert!((60.0..80.0).contains(&peak), "{name}: {peak}");
        assert!(average > 0.0 && average < peak, "{name}: {average}");
        assert!(end <= peak && seconds > 0.0, "{name}: {numbers:?}");
    }
    // glibc hands large objects back at once, Go waits.
    assert!(rows[1].1[2] < 8.0, "{rows:?}");
    assert!(rows[0].1[2] > 8.0, "{rows:?}");
    let svg = fs::read_to_string(&out).unwrap();
    assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"));
    for name in names {
        assert!(svg.contains(name), "{name} is in the picture");
    }
}

#[test]
fn a_library_with_a_malloc_takes_the_work() {
    let folder = TempDir::new().unwrap();
    let out = folder.path().join("chart.svg");
    // Each object has a page more than it asks for, which it also writes to.
    let source = "#include <stddef.h>
        extern void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t);
        extern void *__libc_realloc(void *, size_t), *__libc_memalign(size_t, size_t);
        extern void __libc_free(void *);
        void *malloc(size_t size) { return __libc_malloc(size); }
        void *realloc(void *p, size_t size) { return __libc_realloc(p, size); }
        void free(void *p) { __libc_free(p); }
        int posix_memalign(void **to, size_t align, size_t size) {
            *to = __libc_memalign(align, size);
            return *to ? 0 : 12;
        }
        void *calloc(size_t a, size_t b) {
            size_t all = a * b + 65536;
            volatile char *p = __libc_calloc(1, all);
            for (size_t i = 0; i < all; i += 4096) p[i] = 1;
            p[0] = 0;
            return (void *)p;
        }";
    let Some(library) = compiled(folder.path(), "libwaste.so", source) else {
        return;
    };
    let mut trace = String::from("n 1000\n");
    (0..1000).for_each(|id| trace += &format!("a {id} 100\n"));
    let trace = written(trace);
    let output = replay(trace.path(), &["system", &library], &out);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let rows = rows(&text(&output.stdout));
    assert_eq!(rows[1].0, "libwaste.so");
    assert!(rows[0].1[0] < 8.0, "{rows:?}");
    assert!(rows[1].1[0] > 60.0, "{rows:?}");
}

/// The path of a library of that C; none where there is no compiler.
fn compiled(folder: &Path, name: &str, source: &str) -> Option<String> {
    let (file, library) = (folder.join("library.c"), folder.join(name));
    fs::write(&file, source).unwrap();
    let cc = Command::new("cc")
        .args(["-shared", "-fPIC", "-o"])
        .args([&library, &file])
        .output();
    let Ok(cc) = cc else {
        println!("skipped: there is no cc");
        return None;
    };
    assert!(cc.status.success(), "{}", text(&cc.stderr));
    Some(library.to_str().unwrap().to_owned())
}

#[test]
fn a_library_that_has_not_all_that_is_called_is_refused() {
    let folder = TempDir::new().unwrap();
    let out = folder.path().join("chart.svg");
    let trace = written("n 1\na 0 100\n");
    let cases = [
        (
            "libnone.so",
            "extern void *malloc(unsigned long); void *f() { return malloc(1); }",
            "malloc, calloc, realloc, free, posix_memalign",
        ),
        (
            "libhalf.so",
            "void *malloc(unsigned long n) { return 0; } void free(void *p) {}",
            "calloc, realloc, posix_memalign",
        ),
    ];
    for (name, source, lacking) in cases {
        let Some(library) = compiled(folder.path(), name, source) else {
            return;
        };
        let output = replay(trace.path(), &["system", &library], &out);
        let expected = format!("goheap: cannot replay on {name}: {library} lacks {lacking}\n");
        assert_eq!(text(&output.stderr), expected);
        assert_eq!(output.status.code(), Some(1));
        assert_eq!(text(&output.stdout), "");
        assert!(!out.exists());
    }
}

#[test]
fn what_cannot_be_replayed_on_is_said() {
    let folder = TempDir::new().unwrap();
    let out = folder.path().join("chart.svg");
    let trace = written("n 1\na 0 100\n");
    let no_library = folder.path().join("text.so");
    fs::write(&no_library, "no library").unwrap();
    let no_library = no_library.to_str().unwrap();
    let cases = [
        (
            "tcmalloc",
            "goheap: cannot replay on tcmalloc: known are goheap, system, mimalloc and jemalloc",
        ),
        (
            "/nowhere/libx.so",
            "goheap: cannot replay on libx.so: /nowhere/libx.so: No such file or directory",
        ),
        (
            no_library,
            "goheap: cannot replay on text.so: ERROR: ld.so: ",
        ),
    ];
    for (allocator, reason) in cases {
        let output = replay(trace.path(), &[allocator], &out);
        let said = text(&output.stderr);
        assert!(said.starts_with(reason), "{said}");
        assert_eq!(output.status.code(), Some(1));
        assert_eq!(text(&output.stdout), "");
    }
    let broken = written("n 1\nx\n");
    let output = replay(broken.path(), &["system"], &out);
    let expected = format!("{}:2: unknown operation \"x\"", broken.path().display());
    let said = text(&output.stderr);
    assert!(said.starts_with(&expected), "{said}");
    let huge = written("n 1\na 0 4611686018427387904\n");
    let output = replay(huge.path(), &["system"], &out);
    let said = text(&output.stderr);
    assert!(
        said.contains("cannot allocate 4611686018427387904 bytes, as operation 1 of"),
        "{said}"
    );
    assert_eq!(output.status.code(), Some(1));
}
