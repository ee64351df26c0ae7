//! Where a group's files are, and what is in them.

use super::*;
use std::boxed::Box;
use std::ffi::OsStr;
use std::format;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::string::String;
use std::{env, fs, process};

/// Mounts of a system before any of a hierarchy.
const OTHERS: &str = "22 1 8:1 / / rw,relatime - ext4 /dev/root rw\n\
    20 22 0:19 / /proc rw,nosuid,nodev,noexec - proc proc rw\n\
    21 22 0:20 / /sys rw,nosuid,nodev,noexec shared:2 master:7 - sysfs sysfs rw\n";
const MEMORY: &str = "49 22 0:37 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n";
const CPU: &str = "56 22 0:40 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n";
const UNIFIED: &str = "25 21 0:22 / /sys/fs/cgroup rw shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";

fn buffers() -> Box<Buffers> {
    let text = || Text {
        bytes: [0; PATH],
        len: 0,
    };
    Box::new(Buffers {
        line: text(),
        group: text(),
        folder: text(),
    })
}

/// The folder of the group's files, when these are `/proc/self/cgroup` and `mountinfo`.
fn folder(cgroup: &str, mountinfo: &str) -> Option<(Version, String)> {
    let mut buffers = buffers();
    let pieces = |text: &str, with: Piece| {
        let _ = text.as_bytes().chunks(13).try_for_each(with);
    };
    let version = buffers.find_group(|with| pieces(cgroup, with))?;
    buffers.find_folder(version, |with| pieces(mountinfo, with))?;
    let folder = String::from_utf8(buffers.folder.get().to_vec()).expect("text");
    Some((version, folder))
}

fn one(folder: &str) -> Option<(Version, String)> {
    Some((Version::One, folder.into()))
}

fn two(folder: &str) -> Option<(Version, String)> {
    Some((Version::Two, folder.into()))
}

#[test]
fn of_version_1_the_hierarchy_with_the_controller_cpu_counts() {
    let mounts = format!("{OTHERS}{MEMORY}{CPU}");
    let groups = "3:memory:/m\n2:cpu,cpuacct:/a/b\n1:cpuset:/s\n";
    assert_eq!(
        folder(groups, &mounts),
        one("/sys/fs/cgroup/cpu,cpuacct/a/b")
    );
    assert_eq!(
        folder("1:cpuacct,cpu:/\n", &mounts),
        one("/sys/fs/cgroup/cpu,cpuacct")
    );
    assert_eq!(folder("1:cpuset:/a\n2:cpuacct:/a\n", &mounts), None);
    assert_eq!(folder(groups, &format!("{OTHERS}{MEMORY}")), None);
}

#[test]
fn of_version_2_there_is_one_hierarchy() {
    let mounts = format!("{OTHERS}{UNIFIED}");
    assert_eq!(
        folder("0::/a.slice/b.scope\n", &mounts),
        two("/sys/fs/cgroup/a.slice/b.scope")
    );
    assert_eq!(folder("0::/\n", &mounts), two("/sys/fs/cgroup"));
}

#[test]
fn where_both_versions_are_there_that_with_the_controller_counts() {
    let mounts = format!("{OTHERS}{UNIFIED}{MEMORY}{CPU}");
    for groups in ["1:cpu:/v1\n0::/v2\n", "0::/v2\n1:memory:/m\n1:cpu:/v1\n"] {
        assert_eq!(
            folder(groups, &mounts),
            one("/sys/fs/cgroup/cpu,cpuacct/v1")
        );
    }
    assert_eq!(
        folder("1:memory:/v1\n0::/v2\n", &mounts),
        two("/sys/fs/cgroup/v2")
    );
    // As the controller is not mounted, the group's limit cannot be known.
    assert_eq!(
        folder("1:cpu:/v1\n0::/v2\n", &format!("{OTHERS}{UNIFIED}")),
        None
    );
}

#[test]
fn the_first_mount_that_shows_the_group_counts() {
    let mount = |root: &str, at: &str| format!("25 21 0:22 {root} {at} rw - cgroup2 cgroup2 rw\n");
    let mounts = [
        mount("/pod", "/sibling's/prefix"),
        mount("/other", "/other"),
        mount("/pods/web/inner", "/too/deep"),
        mount("/pods", "/pods"),
        mount("/", "/all"),
    ]
    .concat();
    assert_eq!(folder("0::/pods/web\n", &mounts), two("/pods/web"));
    assert_eq!(folder("0::/pods\n", &mounts), two("/pods"));
    assert_eq!(folder("0::/elsewhere\n", &mounts), two("/all/elsewhere"));
    let whole = mount("/pods/web", "/sys/fs/cgroup");
    assert_eq!(folder("0::/pods/web\n", &whole), two("/sys/fs/cgroup"));
}

#[test]
fn in_a_namespace_a_group_outside_of_it_is_found_where_a_mount_shows_it() {
    let mount = |root: &str, at: &str| format!("25 21 0:22 {root} {at} rw - cgroup2 cgroup2 rw\n");
    // Root of the namespace, and of what is mounted.
    assert_eq!(folder("0::/\n", &mount("/", "/cg")), two("/cg"));
    assert_eq!(folder("0::/inner\n", &mount("/", "/cg")), two("/cg/inner"));
    // Mounted before the namespace was made: from above, and from further above.
    let mounts = mount("/../..", "/near") + &mount("/../../..", "/far");
    assert_eq!(
        folder("0::/../../../init.scope\n", &mounts),
        two("/far/init.scope")
    );
    assert_eq!(folder("0::/../../..\n", &mounts), two("/far"));
    assert_eq!(folder("0::/../init\n", &mount("/", "/cg")), None);
    assert_eq!(folder("0::/..\n", &mount("/", "/cg")), None);
    assert_eq!(
        folder("0::/..name\n", &mount("/", "/cg")),
        two("/cg/..name")
    );
}

#[test]
fn spaces_and_their_like_are_escaped_in_mounts_and_not_in_groups() {
    let mounts = "25 21 0:22 /a\\040b /my\\011mounts\\134 rw - cgroup2 cgroup2 rw\n";
    assert_eq!(folder("0::/a b/c d\n", mounts), two("/my\tmounts\\/c d"));
    assert_eq!(folder("0::/a\\040b\n", mounts), None);
    // What is no escape stands for itself.
    let mounts = "25 21 0:22 / /odd\\1\\999 rw - cgroup2 cgroup2 rw\n";
    assert_eq!(folder("0::/\n", mounts), two("/odd\\1\\999"));
}

#[test]
fn a_line_longer_than_the_room_for_it_hides_none_that_follows() {
    let layers = "/lower/layer:".repeat(10_000);
    let long = format!("26 22 0:50 / /merged rw - overlay overlay rw,lowerdir={layers}\n");
    let mounts = format!("{OTHERS}{long}{UNIFIED}");
    assert_eq!(folder("0::/a\n", &mounts), two("/sys/fs/cgroup/a"));
    let groups = format!("5:name={layers}:/n\n0::/a\n");
    assert_eq!(folder(&groups, &mounts), two("/sys/fs/cgroup/a"));
}

#[test]
fn a_path_too_long_to_be_opened_is_no_folder() {
    let mounts = format!("{OTHERS}{UNIFIED}");
    let group = "/long".repeat(PATH / 5);
    assert_eq!(folder(&format!("0::{group}\n"), &mounts), None);
}

#[test]
fn what_is_no_such_file_names_no_group() {
    let mounts = format!("{OTHERS}{CPU}{UNIFIED}");
    for groups in ["", "\n", "0\n", "0:\n", "0::\n", "0::a\n", "0::/unended"] {
        assert_eq!(folder(groups, &mounts), None, "{groups:?}");
    }
    for mounts in [
        "\n",
        "22 1 8:1 /\n",
        "22 1 8:1 / /cg rw\n",
        "22 1 8:1 / /cg rw -\n",
        "22 1 8:1 / /cg rw - \n",
        "22 1 8:1 / /cg rw cgroup2 cgroup2 rw\n",
        "22 1 8:1 a /cg rw - cgroup2 cgroup2 rw\n",
    ] {
        assert_eq!(folder("0::/\n", mounts), None, "{mounts:?}");
    }
    for mounts in [
        "22 1 8:1 / /cg rw - cgroup\n",
        "22 1 8:1 / /cg rw - cgroup cgroup\n",
        "22 1 8:1 / /cg rw - cgroup cpu rw\n",
    ] {
        assert_eq!(folder("1:cpu:/\n", mounts), None, "{mounts:?}");
    }
}

/// A folder with these files in it, which goes when this does.
struct Folder(PathBuf);

impl Folder {
    fn with(name: &str, files: &[(&str, &str)]) -> Self {
        let at = env::temp_dir().join(format!("goheap-{name}-{}", process::id()));
        fs::create_dir_all(&at).expect("a folder");
        let folder = Self(at);
        for (name, text) in files {
            fs::write(folder.0.join(name), text).expect("a file");
        }
        folder
    }

    fn limit(&self, version: Version) -> Option<(u64, u64)> {
        let mut buffers = buffers();
        let path: &Path = &self.0;
        let path: &OsStr = path.as_ref();
        let set = buffers.folder.set(path.as_bytes().iter().copied());
        set.expect("a short path");
        let quota = buffers.limit(version)?;
        Some((quota.us, quota.period_us))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What is left of it harms nobody.
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_quota_of_version_1_is_in_two_files() {
    for (name, us, period, expected) in [
        ("v1", "150000\n", "100000\n", Some((150_000, 100_000))),
        ("v1-none", "-1\n", "100000\n", None),
        ("v1-unended", "150000", "100000\n", None),
        ("v1-words", "150000us\n", "100000\n", None),
        ("v1-zero", "150000\n", "0\n", None),
    ] {
        let files = [("cpu.cfs_quota_us", us), ("cpu.cfs_period_us", period)];
        let folder = Folder::with(name, &files);
        assert_eq!(folder.limit(Version::One), expected, "{name}");
        assert_eq!(folder.limit(Version::Two), None, "{name}");
    }
}

#[test]
fn a_quota_of_version_2_is_in_one() {
    let largest = u64::MAX;
    for (name, text, expected) in [
        ("v2", "250000 50000\n", Some((250_000, 50_000))),
        ("v2-none", "max 100000\n", None),
        ("v2-alone", "250000\n", None),
        ("v2-unended", "250000 100000", None),
        ("v2-words", "250000 100000us\n", None),
        ("v2-empty", "", None),
        (
            "v2-large",
            "18446744073709551615 18446744073709551615\n",
            Some((largest, largest)),
        ),
        ("v2-larger", "18446744073709551616 100000\n", None),
    ] {
        let folder = Folder::with(name, &[("cpu.max", text)]);
        assert_eq!(folder.limit(Version::Two), expected, "{name}");
        assert_eq!(folder.limit(Version::One), None, "{name}");
    }
}

#[test]
fn asking_leaves_errno_alone() {
    crate::os::set_errno(77);
    let first = cpu_quota();
    assert_eq!(crate::os::linux::errno(), 77);
    assert_eq!(cpu_quota(), first);
}
