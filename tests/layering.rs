//! The layers are as DESIGN.md has them: what depends on what, who talks to the system, where
//! `unsafe` is.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// The crates of this workspace, each with the others that it may build on.
const ARROWS: [(&str, &[&str]); 13] = [
    ("goheap-pacer", &[]),
    ("goheap-scavenger", &[]),
    ("goheap-stats", &[]),
    ("goheap-allocator", &["goheap-scavenger"]),
    ("goheap-http", &["goheap-stats"]),
    (
        "goheap",
        &[
            "goheap-allocator",
            "goheap-http",
            "goheap-pacer",
            "goheap-scavenger",
            "goheap-stats",
        ],
    ),
    (
        "goheap-preload",
        &["goheap", "goheap-allocator", "goheap-family"],
    ),
    (
        "goheap-cli",
        &[
            "goheap",
            "goheap-stats",
            "goheap-pacer",
            "goheap-scavenger",
            // Built with it, but linked into nothing: it is a library for C alone.
            "goheap-preload",
            "goheap-recorder",
            "goheap-ring",
        ],
    ),
    ("goheap-ring", &[]),
    ("goheap-family", &[]),
    ("goheap-recorder", &["goheap-family", "goheap-ring"]),
    (
        "goheap-fuzz",
        &["goheap", "goheap-allocator", "goheap-stats"],
    ),
    ("goheap-benches", &["goheap", "goheap-allocator"]),
];

/// The crates that are policy and plain data: they ask nobody and own no memory by hand.
const PURE: [&str; 3] = ["pacer", "scavenger", "stats"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The packages of the workspace, as cargo sees them.
fn packages() -> Vec<Value> {
    let output = Command::new(env!("CARGO"))
        .args([
            "metadata",
            "--no-deps",
            "--offline",
            "--format-version",
            "1",
        ])
        .current_dir(root())
        .output()
        .expect("cargo can be run");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo prints JSON");
    metadata["packages"]
        .as_array()
        .expect("a list of packages")
        .clone()
}

/// What a package builds on; not what its tests do.
fn dependencies(package: &Value) -> BTreeSet<&str> {
    let all = package["dependencies"]
        .as_array()
        .expect("a list of dependencies");
    all.iter()
        .filter(|dependency| dependency["kind"] != "dev")
        .filter_map(|dependency| dependency["name"].as_str())
        .collect()
}

fn name(package: &Value) -> &str {
    package["name"].as_str().expect("a package has a name")
}

#[test]
fn arrows_point_down_only() {
    let packages = packages();
    for (name_of_one, _) in ARROWS {
        assert!(
            packages.iter().any(|package| name(package) == name_of_one),
            "{name_of_one} is gone"
        );
    }
    for package in &packages {
        let (_, allowed) = ARROWS
            .iter()
            .find(|(crate_name, _)| *crate_name == name(package))
            .unwrap_or_else(|| panic!("{} is in no layer", name(package)));
        for dependency in dependencies(package) {
            let ours = dependency == "goheap" || dependency.starts_with("goheap-");
            assert!(
                !ours || allowed.contains(&dependency),
                "{} depends on {dependency}",
                name(package)
            );
        }
    }
}

#[test]
fn policy_knows_no_system() {
    let packages = packages();
    for package in packages
        .iter()
        .filter(|package| PURE.iter().any(|pure| name(package).ends_with(pure)))
    {
        for dependency in dependencies(package) {
            let system = [
                "libc",
                "memmap2",
                "crossbeam",
                "crossbeam-utils",
                "rustix",
                "nix",
            ];
            assert!(
                !system.contains(&dependency),
                "{} depends on {dependency}",
                name(package)
            );
        }
    }
}

/// The Rust files below a directory of the repository.
fn sources(directory: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut directories = vec![root().join(directory)];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(&directory)
            .unwrap_or_else(|error| panic!("{}: {error}", directory.display()))
        {
            let path = entry.expect("an entry of a directory").path();
            if path.is_dir() {
                directories.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    assert!(!files.is_empty(), "no source in {directory}");
    files
}

/// The words of a file's code: no comments, and of strings only what they seem to be.
fn words(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).expect("a source is text");
    words_of(&text)
}

fn words_of(text: &str) -> Vec<String> {
    let code = text
        .lines()
        .map(|line| line.split("//").next().unwrap_or(""));
    code.flat_map(|line| line.split(|c: char| !c.is_alphanumeric() && c != '_'))
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect()
}

#[track_caller]
fn assert_without(path: &Path, banned: &[&str]) {
    for word in words(path) {
        assert!(
            !banned.contains(&word.as_str()),
            "{} has {word}",
            path.display()
        );
    }
}

#[test]
fn words_are_found_in_code_but_not_in_comments() {
    assert_eq!(
        words_of("use libc::mmap; // memmap2\n/// unsafe\nlet a_b = 1;"),
        ["use", "libc", "mmap", "let", "a_b", "1"]
    );
}

#[test]
fn policy_and_plain_data_are_safe_code() {
    for name in PURE {
        let library = root().join(name).join("src/lib.rs");
        let text = fs::read_to_string(&library).expect("a crate has a library");
        assert!(
            text.contains("#![forbid(unsafe_code)]"),
            "{name} does not forbid unsafe code"
        );
        for path in sources(&format!("{name}/src")) {
            assert_without(&path, &["unsafe"]);
        }
    }
}

#[test]
fn policy_has_no_clock_no_global_and_no_lock() {
    for name in ["pacer", "scavenger"] {
        for path in sources(&format!("{name}/src")) {
            let banned = [
                "Instant",
                "SystemTime",
                "Mutex",
                "RwLock",
                "OnceLock",
                "LazyLock",
                "thread_local",
            ];
            assert_without(&path, &banned);
            let words = words(&path);
            let global = words
                .windows(2)
                .find(|pair| pair[0] == "static" && pair[1].chars().all(|c| !c.is_lowercase()));
            assert!(
                global.is_none(),
                "{} has a global: {global:?}",
                path.display()
            );
        }
    }
}

#[test]
fn only_the_os_module_talks_to_the_system() {
    for path in sources("allocator/src") {
        let inside = path
            .strip_prefix(root().join("allocator/src"))
            .expect("it was found there");
        if !inside.starts_with("os") && inside != Path::new("os.rs") {
            assert_without(&path, &["libc", "memmap2"]);
        }
    }
}

#[test]
fn a_file_stays_below_500_lines() {
    let directories = [
        "src",
        "allocator",
        "pacer",
        "scavenger",
        "stats",
        "http",
        "cli",
        "family",
        "preload",
        "recorder",
        "fuzz",
        "benches",
        "tests",
    ];
    for path in directories.iter().flat_map(|directory| sources(directory)) {
        let lines = fs::read_to_string(&path)
            .expect("a source is text")
            .lines()
            .count();
        assert!(lines <= 500, "{} has {lines} lines", path.display());
    }
}
