//! `goheap profile PID`: the heap profile of a running program, in a file for `go tool pprof`.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::PathBuf;

use goheap_stats::shared_page::Command;

use crate::{Error, amount, observe, output};

/// Write a running program's heap profile into a file, for go tool pprof.
///
/// It says which call sites allocated what is in use, as of the last completed cycle. Its sample types are Go's
/// and held_space: bytes of span that a site's survivors keep from going idle.
#[derive(clap::Args)]
pub struct Options {
    /// The process.
    pid: u32,
    /// The file; goheap.PID.N.pb.gz if it is left out, with the first number that is free.
    #[arg(short, long, visible_alias = "out", value_name = "FILE")]
    output: Option<PathBuf>,
    /// Run a cycle first, so that the profile is of now.
    #[arg(long, conflicts_with = "peak")]
    gc: bool,
    /// The profile of the moment at which the heap was at its largest.
    #[arg(long)]
    peak: bool,
}

/// Asks the program, and puts what it wrote where it belongs.
pub fn run(options: &Options) -> Result<(), Error> {
    let program = observe::open(options.pid)?;
    if options.gc {
        program.page.ask(Command::Gc)?;
    }
    let profile = program.page.profile(options.peak)?;
    let (path, file) = match &options.output {
        Some(path) => (path.clone(), File::create(path)),
        None => numbered(options.pid),
    };
    file.and_then(|mut file| file.write_all(&profile))
        .map_err(Error::system(format!("write {}", path.display())))?;
    let said = format!(
        "{}: {}\ngo tool pprof -top {0}",
        path.display(),
        amount::bytes(profile.len() as u64)
    );
    output::print(said)
}

/// A file of this process's that is not there yet.
fn numbered(pid: u32) -> (PathBuf, io::Result<File>) {
    let mut number = 0u64;
    loop {
        let path = PathBuf::from(format!("goheap.{pid}.{number}.pb.gz"));
        let file = OpenOptions::new().write(true).create_new(true).open(&path);
        match file {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => number += 1,
            file => return (path, file),
        }
    }
}
