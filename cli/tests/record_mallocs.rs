//! `goheap record` of programs that are linked with another malloc: it is theirs as before.

#[path = "support/recorded.rs"]
mod recorded;
mod support;

use std::fs;
use std::process::Command;

use tempfile::TempDir;

use recorded::{assert_consistent, compiled, count, record, recorded};
use support::text;

/// Has every block looked into by a function that a heap has beside malloc's family, and jemalloc's own
/// take blocks of malloc's and give some to free.
const LOOKED_INTO: &str = r#"
#define _GNU_SOURCE
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
__attribute__((weak)) void *mallocx(size_t, int);
__attribute__((weak)) void sdallocx(void *, size_t, int);
static void *looked_into(void *block, size_t bytes) {
    if (!block || malloc_usable_size(block) < bytes) exit(1);
    memset(block, 1, bytes);
    return block;
}
int main(void) {
    void *p;
    for (int i = 0; i < 100; i++) {
        p = looked_into(malloc(70001), 70001);
        free(looked_into(realloc(p, 88001), 88001));
        p = looked_into(calloc(7, 11003), 77021);
        free(looked_into(reallocarray(p, 2, 47001), 94002));
        if (posix_memalign(&p, 4096, 91001)) return 2;
        free(looked_into(p, 91001));
        free(looked_into(aligned_alloc(64, 92032), 92032));
        free(looked_into(memalign(256, 93001), 93001));
        free(looked_into(valloc(95001), 95001));
        if (mallocx) {
            sdallocx(malloc(96001), 96001, 0);
            free(looked_into(mallocx(97001, 0), 97001));
        }
        // What is returned for size 0 is a block or null, as the heap has it, and goes to free.
        free(realloc(malloc(99001), 0));
    }
    return 42;
}
"#;

#[test]
fn a_program_that_is_linked_with_another_malloc_keeps_it() {
    let malloc_and_its = [
        ("none", ""),
        ("jemalloc", "-l:libjemalloc.so.2"),
        ("tcmalloc", "-l:libtcmalloc_minimal.so.4"),
        ("mimalloc", "-l:libmimalloc.so.2"),
    ];
    for (name, library) in malloc_and_its {
        let folder = TempDir::new().unwrap();
        let libraries = ["-Wl,--no-as-needed", library];
        let libraries = match library {
            "" => &[][..],
            _ if links(library) => &libraries[..],
            _ => {
                println!("skipped: {name} is not installed");
                continue;
            }
        };
        let Some(program) = compiled(&folder, LOOKED_INTO, libraries) else {
            return;
        };
        let file = folder.path().join("trace");
        let output = record(&file, &[], &program, &[]);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(42), "{name}: {said}");
        let (events, total) = recorded(&file);
        assert_eq!(total.lost, 0, "{name}");
        for size in [
            70_001, 88_001, 77_021, 94_002, 91_001, 92_032, 93_001, 99_001,
        ] {
            assert_eq!(count(&events, size..size + 1), 100, "{name}: {size}");
        }
        let left = assert_consistent(&events);
        let ours = [
            70_001, 88_001, 77_021, 94_002, 91_001, 92_032, 93_001, 99_001,
        ];
        assert!(
            !left.values().any(|size| ours.contains(size)),
            "{name}: {left:?}"
        );
    }
}

/// Whether the C compiler finds that library.
fn links(library: &str) -> bool {
    let folder = TempDir::new().unwrap();
    let (file, program) = (folder.path().join("a.c"), folder.path().join("a.out"));
    fs::write(&file, "int main(void) { return 0; }").unwrap();
    let mut cc = Command::new("cc");
    cc.arg("-o").args([&program, &file]).arg(library);
    cc.output().is_ok_and(|output| output.status.success())
}
