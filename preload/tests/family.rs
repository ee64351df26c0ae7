//! Each function of malloc's family at its edges: what glibc's own does, the library's does.

mod support;

use support::{compiled, compiled_by, plain, preloaded, wait};

#[test]
fn the_family_does_what_glibc_s_does() {
    let Some(program) = compiled("family.c", "family", &[]) else {
        return;
    };
    wait(plain(&program)).expect_success();
    let mut on_goheap = preloaded(&program);
    on_goheap.env("ALIGNED_ALLOC_IS_STRICT", "1");
    wait(on_goheap).expect_success();
}

#[test]
fn and_so_it_does_when_cycles_come_often_or_frees_take_effect_at_once() {
    let Some(program) = compiled("family.c", "family-knobs", &[]) else {
        return;
    };
    for (knob, value) in [
        ("GOGC", "1"),
        ("GOHEAP_RECLAIM", "eager"),
        ("GOMEMLIMIT", "1MiB"),
    ] {
        let mut on_goheap = preloaded(&program);
        on_goheap.env(knob, value);
        wait(on_goheap).expect_success();
    }
}

#[test]
fn new_and_delete_come_through_it() {
    let Some(program) = compiled_by("c++", "new.cpp", "new", &["-std=c++17"]) else {
        return;
    };
    wait(plain(&program)).expect_success();
    let mut on_goheap = preloaded(&program);
    on_goheap.env("GODEBUG", "gctrace=1");
    let outcome = wait(on_goheap).expect_success();
    assert!(outcome.stderr.contains("gc 1 @"), "{outcome}");
}
