//! The process's resident set, read without allocating.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use crate::Error;

/// `/proc/self/statm`, kept open: its second field counts resident pages.
pub struct Resident {
    statm: File,
    page: u64,
}

impl Resident {
    /// Opens the file and asks for the size of a page.
    pub fn open() -> Result<Self, Error> {
        // SAFETY: takes and returns numbers.
        let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
        Ok(Self {
            statm: File::open("/proc/self/statm")
                .map_err(Error::system("open /proc/self/statm"))?,
            page: u64::try_from(page).map_err(|_| Error::System {
                doing: "learn the size of a page".into(),
                source: io::Error::last_os_error(),
            })?,
        })
    }

    /// Resident bytes now. The kernel counts them lazily per processor, so they
    /// may be behind by some dozens of pages.
    pub fn bytes(&self) -> io::Result<u64> {
        let mut text = [0; 128];
        let read = self.statm.read_at(&mut text, 0)?;
        let pages = text[..read]
            .split(|&byte| byte == b' ')
            .nth(1)
            .and_then(|field| str::from_utf8(field).ok()?.parse::<u64>().ok());
        pages
            .map(|pages| pages * self.page)
            .ok_or(io::ErrorKind::InvalidData.into())
    }
}

#[cfg(test)]
mod tests {
    use super::Resident;

    #[test]
    fn a_test_takes_between_a_page_and_all_memory() {
        let bytes = Resident::open().unwrap().bytes().unwrap();
        assert!((4096..1 << 40).contains(&bytes), "{bytes}");
    }
}
