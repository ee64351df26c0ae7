//! The library where the kernel's pages are larger than 4 KiB, as on many machines that are not x86-64: `c/pages.c` is that kernel.

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;

use support::{compiled, preloaded, wait};

const SIZES: [usize; 2] = [16 << 10, 64 << 10];

/// The kernel; tests run at once, each has its own.
fn kernel(for_test: &str) -> Option<PathBuf> {
    let name = format!("pages-{for_test}.so");
    compiled("pages.c", &name, &["-shared", "-fPIC"])
}

/// The program on the library, over pages of so many bytes.
fn over(kernel: &Path, page: usize, program: &Path) -> Command {
    let mut command = preloaded(program);
    let of = command.get_envs().find(|(name, _)| *name == "LD_PRELOAD");
    let library = of.and_then(|(_, path)| path).expect("it is preloaded");
    let mut both = kernel.as_os_str().to_owned();
    both.push(":");
    both.push(library);
    command
        .env("LD_PRELOAD", both)
        .env("PAGE_BYTES", page.to_string());
    command
}

#[test]
fn each_function_of_the_family_does_what_it_does_over_small_ones() {
    let (kernel, program) = (kernel("family"), compiled("family.c", "family-pages", &[]));
    let (Some(kernel), Some(program)) = (kernel, program) else {
        return;
    };
    for page in SIZES {
        let mut command = over(&kernel, page, &program);
        command.env("ALIGNED_ALLOC_IS_STRICT", "1");
        wait(command).expect_success();
    }
}

#[test]
fn memory_goes_back_in_whole_pages() {
    let (kernel, program) = (kernel("back"), compiled("process.c", "process-pages", &[]));
    let (Some(kernel), Some(program)) = (kernel, program) else {
        return;
    };
    for page in SIZES {
        for policy in ["go1.27", "go1.11"] {
            let mut command = over(&kernel, page, &program);
            command
                .arg("churns")
                .env("GOMEMLIMIT", "8MiB")
                .env("GOHEAP_CHECK", "1")
                .env("GOHEAP_POLICY", policy);
            wait(command).expect_success();
        }
    }
}

#[test]
fn a_step_over_a_guarded_objects_edge_faults() {
    let (kernel, program) = (kernel("guard"), compiled("overflow.c", "overflow", &[]));
    let (Some(kernel), Some(program)) = (kernel, program) else {
        return;
    };
    for page in SIZES {
        let mut command = over(&kernel, page, &program);
        command.env("GOHEAP_GUARD", "1");
        let outcome = wait(command).expect_signal(libc::SIGSEGV);
        let said = "is 3 bytes behind a guarded object";
        assert!(outcome.stderr.contains(said), "{outcome}");
    }
}
