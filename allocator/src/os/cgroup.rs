//! How much of the processors the process's control group may use.
//!
//! Found as Go 1.27 finds it (`internal/runtime/cgroup`: `FindCPU`, `ReadCPULimit`). `/proc/self/cgroup` names the group
//! within its hierarchy, that of version 1 that has the controller `cpu`, or else the one of version 2; of the
//! mounts in `/proc/self/mountinfo` that show this hierarchy, the first that shows the group says where its files are.
//! The group alone is asked, not those that it lies in, though their limits hold, too: so Go does, and from inside a container
//! they mostly cannot be seen.
//!
//! Whatever cannot be read or understood is no limit.

use super::shared::{for_each_piece, number, read};
use super::{Linux, Os, keeping_errno};
use core::ffi::CStr;
use core::iter::from_fn;
use core::ops::ControlFlow::{self, Break, Continue};

/// Time on processors that a group may use: so much in each period of so much, over all processors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CpuQuota {
    /// Microseconds of processor time.
    pub us: u64,
    /// Microseconds on the clock, not 0.
    pub period_us: u64,
}

/// The limit of the calling process's group; `None` if it has none. Opens files, one after the other.
pub fn cpu_quota() -> Option<CpuQuota> {
    keeping_errno(|| {
        // Not on the stack: an allocation may be what asks, and its thread have little of that.
        let at = Linux.map(size_of::<Buffers>()).ok()?;
        // SAFETY: as long as the buffers, which zeroes are; nobody else's until it is given back, which is once.
        unsafe {
            let quota = Buffers::quota(at.cast().as_mut());
            Linux.unreserve(at, size_of::<Buffers>());
            quota
        }
    })
}

/// Which files a group has. Both versions may be there at once, with the controller `cpu` in one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    One,
    Two,
}

/// The longest path that can be opened, and its NUL (`PATH_MAX`).
const PATH: usize = 4096;

/// Text of up to `N` bytes.
struct Text<const N: usize> {
    bytes: [u8; N],
    len: usize,
}

impl<const N: usize> Text<N> {
    fn get(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    /// What there is no room for is left out.
    fn add(&mut self, text: &[u8]) {
        let n = text.len().min(N - self.len);
        self.bytes[self.len..][..n].copy_from_slice(&text[..n]);
        self.len += n;
    }

    /// `None` if there is no room for it.
    fn push(&mut self, byte: u8) -> Option<()> {
        *self.bytes.get_mut(self.len)? = byte;
        self.len += 1;
        Some(())
    }

    /// `None` if there is no room for all.
    fn set(&mut self, to: impl Iterator<Item = u8>) -> Option<()> {
        self.len = 0;
        to.into_iter().try_for_each(|byte| self.push(byte))
    }
}

/// What is read and made on the way.
struct Buffers {
    line: Text<PATH>,
    /// The group, as a path in its hierarchy.
    group: Text<PATH>,
    /// The group's folder; for as long as a file there is read, that.
    folder: Text<PATH>,
}

impl Buffers {
    fn quota(&mut self) -> Option<CpuQuota> {
        let version = self.find_group(|with| for_each_piece(c"/proc/self/cgroup", with))?;
        self.find_folder(version, |with| {
            for_each_piece(c"/proc/self/mountinfo", with)
        })?;
        self.limit(version)
    }

    /// What the files in the group's folder say.
    fn limit(&mut self, version: Version) -> Option<CpuQuota> {
        let (mut first, mut second) = ([0; 64], [0; 64]);
        match version {
            Version::One => {
                let us = value(self.file(b"/cpu.cfs_quota_us\0", &mut first)?)?;
                let period_us = value(self.file(b"/cpu.cfs_period_us\0", &mut second)?)?;
                quota(us, period_us)
            }
            Version::Two => {
                let both = self.file(b"/cpu.max\0", &mut first)?;
                let space = both.iter().position(|&c| c == b' ')?;
                let (us, period_us) = both.split_at(space);
                quota(number(us)?, value(&period_us[1..])?)
            }
        }
    }

    /// `file` holds what `/proc/self/cgroup` does.
    fn find_group(&mut self, file: impl FnOnce(Piece)) -> Option<Version> {
        let mut found = None;
        for_each_line(file, &mut self.line, |line| {
            let Some((version, path)) = group_in(line) else {
                return Continue(());
            };
            let set = self.group.set(path.iter().copied());
            found = set.map(|()| version);
            if version == Version::One {
                Break(())
            } else {
                Continue(())
            }
        });
        found
    }

    /// `file` holds what `/proc/self/mountinfo` does.
    fn find_folder(&mut self, version: Version, file: impl FnOnce(Piece)) -> Option<()> {
        let mut found = None;
        for_each_line(file, &mut self.line, |line| {
            let folder = mount_in(line, version).and_then(|(root, at)| {
                let rest = below(root, self.group.get())?;
                self.folder.set(unescaped(at).chain(rest.iter().copied()))
            });
            found = folder;
            if found.is_some() {
                Break(())
            } else {
                Continue(())
            }
        });
        found
    }

    /// What the file of this name, which ends in NUL, holds; as far as it fits.
    fn file<'a>(&mut self, name: &[u8], into: &'a mut [u8]) -> Option<&'a [u8]> {
        let folder = self.folder.len;
        let added = name.iter().try_for_each(|&byte| self.folder.push(byte));
        let path = CStr::from_bytes_with_nul(self.folder.get()).ok();
        let text = added.and(path).and_then(|path| read(path, into));
        self.folder.len = folder;
        text
    }
}

/// What a file's pieces are handed to, one after the other, until it breaks.
type Piece<'a> = &'a mut dyn FnMut(&[u8]) -> ControlFlow<()>;

/// Calls `with` for each line of a file until it breaks. Of a longer line than `line` has room for, with its beginning:
/// a mount's options may be of any length, and stand at the end.
fn for_each_line<const N: usize>(
    file: impl FnOnce(Piece),
    line: &mut Text<N>,
    mut with: impl FnMut(&[u8]) -> ControlFlow<()>,
) {
    line.len = 0;
    file(&mut |mut piece| {
        while let Some(end) = piece.iter().position(|&c| c == b'\n') {
            line.add(&piece[..end]);
            with(line.get())?;
            line.len = 0;
            piece = &piece[end + 1..];
        }
        line.add(piece);
        Continue(())
    });
}

/// The group that a line of `/proc/self/cgroup` names, if that may be the one that limits processors:
/// `HIERARCHY:CONTROLLERS:PATH`. Hierarchy 0 is that of version 2.
fn group_in(line: &[u8]) -> Option<(Version, &[u8])> {
    let mut parts = line.splitn(3, |&c| c == b':');
    let (hierarchy, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
    let version = match hierarchy {
        b"0" => Version::Two,
        _ if has_cpu(controllers) => Version::One,
        _ => return None,
    };
    path.starts_with(b"/").then_some((version, path))
}

fn has_cpu(list: &[u8]) -> bool {
    list.split(|&c| c == b',').any(|name| name == b"cpu")
}

/// Of a line of `/proc/self/mountinfo` that shows groups of this version, with the controller `cpu`: which group is shown at the mount
/// point, and the mount point; both [escaped](unescaped).
///
/// `ID PARENT DEVICE ROOT POINT OPTIONS [TAG…] - TYPE SOURCE OPTIONS`
fn mount_in(line: &[u8], version: Version) -> Option<(&[u8], &[u8])> {
    let mut fields = line.split(|&c| c == b' ');
    let (root, point) = (fields.nth(3)?, fields.next()?);
    fields.find(|field| field == b"-")?;
    let kind = fields.next()?;
    let shows = match version {
        Version::One => kind == b"cgroup" && has_cpu(fields.nth(1)?),
        Version::Two => kind == b"cgroup2",
    };
    shows.then_some((root, point))
}

/// The path from the group `root`, which is [escaped](unescaped), to `group`; empty if they are the same, `None` if it
/// does not lie there.
fn below<'a>(root: &[u8], group: &'a [u8]) -> Option<&'a [u8]> {
    let root = if root == b"/" { &[] } else { root };
    let group = if group == b"/" { &[] } else { group };
    let length = unescaped(root).count();
    let (shared, rest) = group.split_at_checked(length)?;
    let lies_there = unescaped(root).eq(shared.iter().copied());
    // Groups outside of the process's namespace begin by `/..`, once for each step up: no path leads to them from below.
    let out = rest == b"/.." || rest.starts_with(b"/../");
    let is_path = rest.is_empty() || rest.starts_with(b"/");
    (lies_there && is_path && !out).then_some(rest)
}

/// The text without the kernel's escapes, a backslash and three octal digits for each space, tab, newline and backslash.
fn unescaped(mut text: &[u8]) -> impl Iterator<Item = u8> {
    from_fn(move || {
        let (byte, rest) = match *text {
            [
                b'\\',
                a @ b'0'..=b'3',
                b @ b'0'..=b'7',
                c @ b'0'..=b'7',
                ref rest @ ..,
            ] => ((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'), rest),
            [byte, ref rest @ ..] => (byte, rest),
            [] => return None,
        };
        text = rest;
        Some(byte)
    })
}

/// A number and the line's end. `max` and -1, which mean that there is no limit, are no such numbers.
fn value(text: &[u8]) -> Option<u64> {
    number(text.strip_suffix(b"\n")?)
}

fn quota(us: u64, period_us: u64) -> Option<CpuQuota> {
    (period_us > 0).then_some(CpuQuota { us, period_us })
}

#[cfg(test)]
mod tests;
