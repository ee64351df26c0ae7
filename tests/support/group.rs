//! A test's child in a control group of its own, which limits it.
//!
//! Where the system lets nobody make such a group, this says so, and nothing is tested.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::child;

/// Names the group to the child.
const GROUP: &str = "TEST_GROUP";

/// What a group is limited by.
pub struct Limit<'a> {
    /// Where such groups may be, by the cgroups' version, and the file in one that takes the value.
    pub files: &'a [(&'a str, &'a str)],
    pub value: &'a str,
}

/// A control group, which goes when this does.
struct Group(PathBuf);

impl Group {
    /// `None` where there may be none.
    fn new(name: &str, limit: &Limit) -> Option<Self> {
        let made = limit.files.iter().find_map(|(root, file)| {
            let path = Path::new(root).join(format!("goheap-{name}-{}", std::process::id()));
            fs::create_dir(&path).ok()?;
            let group = Self(path);
            fs::write(group.0.join(file), limit.value).ok()?;
            Some(group)
        });
        if made.is_none() {
            let (_, file) = limit.files[0];
            eprintln!("{name}: no group with {file} can be made here; nothing is tested");
        }
        made
    }

    /// In the child: enters the group that the parent has made.
    fn enter() {
        let group = std::env::var_os(GROUP).expect("the parent names it");
        let members = Path::new(&group).join("cgroup.procs");
        fs::write(members, std::process::id().to_string()).expect("a process may enter");
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // What is left of it is empty, and harms nobody.
        let _ = fs::remove_dir(&self.0);
    }
}

/// Runs `body` in a child within a group, with these variables in its environment; `None` where there is none.
#[track_caller]
pub fn run<T: Fn()>(
    test: T,
    name: &str,
    limit: &Limit,
    knobs: &[(&str, &str)],
    body: fn(),
) -> Option<child::Outcome> {
    let group = match std::env::var_os(GROUP) {
        // In the child.
        Some(path) => Group(path.into()),
        None => Group::new(name, limit)?,
    };
    let configure = |command: &mut Command| {
        command.env(GROUP, &group.0).envs(knobs.iter().copied());
    };
    let entered = || {
        Group::enter();
        body();
    };
    Some(child::run(test, configure, entered))
}
