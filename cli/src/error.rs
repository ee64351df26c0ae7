//! What can go wrong, worded for the terminal.

use std::fmt::{self, Display, Formatter};
use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;

use crate::trace::Fault;

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
    /// `libgoheap.so` is in none of the places where it was looked for.
    NoLibrary {
        /// These.
        places: Vec<PathBuf>,
    },
    /// What a replay printed, or a reference recorded, cannot be read.
    Figures {
        /// Whose figures.
        of: String,
        /// What is wrong with them.
        reason: String,
    },
}

impl Error {
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
            Self::NoLibrary { places } => {
                write!(f, "goheap: cannot find libgoheap.so; looked for")?;
                for (n, place) in places.iter().enumerate() {
                    write!(f, "{} {}", if n > 0 { "," } else { "" }, place.display())?;
                }
                write!(f, "; {} may name it", crate::preload::VARIABLE)
            }
            Self::Figures { of, reason } => {
                write!(
                    f,
                    "goheap: cannot make sense of the figures of {of}: {reason}"
                )
            }
        }
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
