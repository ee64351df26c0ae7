//! `goheap replay --allocator`: the same work on several allocators, each in a process of its own.
//!
//! goheap is this program's own heap; the others are C's malloc family as the system has it, or as a library
//! has it that is loaded before the system's. None of them is linked in.

use std::convert::Infallible;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use comfy_table::{CellAlignment, ContentArrangement, LineStyle, Table, TableStyle};
use indicatif::{ProgressBar, ProgressStyle};
use object::read::elf::ElfFile64;
use object::{Endianness, Object, ObjectSymbol};

use super::prepare::{Marks, prepare};
use super::{Options, Point, again, chart};
use crate::Error;
use crate::amount::MIB;
use crate::preload::of_the_system;

/// Points of a line in the chart.
const SAMPLES: usize = 1000;

/// What to replay on.
#[derive(Clone, Debug, PartialEq)]
pub enum Allocator {
    /// This program's heap.
    Goheap,
    /// libc's malloc.
    System,
    /// A library that a distribution has.
    Packaged(&'static Packaged),
    /// A library of the user's.
    Library(PathBuf),
    /// Nothing that is known; an error when it is to be used, so that it can say what is.
    Unknown(String),
}

/// A library that a distribution has.
#[derive(Debug, PartialEq)]
pub struct Packaged {
    name: &'static str,
    file: &'static str,
    /// Debian's package.
    package: &'static str,
}

const PACKAGED: [Packaged; 2] = [
    Packaged {
        name: "mimalloc",
        file: "libmimalloc.so.2",
        package: "libmimalloc2.0",
    },
    Packaged {
        name: "jemalloc",
        file: "libjemalloc.so.2",
        package: "libjemalloc2",
    },
];

impl FromStr for Allocator {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        let packaged = PACKAGED.iter().find(|packaged| packaged.name == text);
        Ok(match (text, packaged) {
            ("goheap", _) => Self::Goheap,
            ("system", _) => Self::System,
            (_, Some(packaged)) => Self::Packaged(packaged),
            (path, None) if path.contains('/') => Self::Library(path.into()),
            (name, None) => Self::Unknown(name.into()),
        })
    }
}

impl Allocator {
    /// Whether it is this program's heap.
    pub fn is_goheap(&self) -> bool {
        *self == Self::Goheap
    }

    fn name(&self) -> String {
        match self {
            Self::Goheap => "goheap".into(),
            Self::System => "system".into(),
            Self::Packaged(packaged) => packaged.name.into(),
            Self::Library(path) => path.file_name().unwrap_or_default().display().to_string(),
            Self::Unknown(name) => name.clone(),
        }
    }

    /// What is loaded before libc, if anything.
    fn library(&self) -> Result<Option<PathBuf>, Error> {
        let no = |reason: String| Error::NoAllocator {
            name: self.name(),
            reason,
        };
        let path = match self {
            Self::Goheap | Self::System => return Ok(None),
            Self::Packaged(packaged) => of_the_system(packaged.file).ok_or_else(|| {
                no(format!(
                    "there is no {}; Debian's package {} has it, or give a library's path",
                    packaged.file, packaged.package
                ))
            })?,
            Self::Library(path) => path
                .canonicalize()
                .map_err(|error| no(format!("{}: {error}", path.display())))?,
            Self::Unknown(_) => return Err(no(
                "known are goheap, system, mimalloc and jemalloc; a library's path has a slash in it"
                    .into(),
            )),
        };
        let missing = missing_in(&path);
        if !missing.is_empty() {
            return Err(no(format!(
                "{} lacks {}",
                path.display(),
                missing.join(", ")
            )));
        }
        Ok(Some(path))
    }
}

/// What a replay calls. What a library has not, libc would do, on blocks that are not its own.
const FAMILY: [&str; 5] = ["malloc", "calloc", "realloc", "free", "posix_memalign"];

/// Those that a library has not. Of a file that is no library the loader says it.
fn missing_in(library: &Path) -> Vec<&'static str> {
    let bytes = fs::read(library).unwrap_or_default();
    let Ok(file) = ElfFile64::<Endianness>::parse(&*bytes) else {
        return Vec::new();
    };
    let has = |name: &&str| {
        let mut defined = file
            .dynamic_symbols()
            .filter(|symbol| !symbol.is_undefined());
        defined.any(|symbol| symbol.name() == Ok(name))
    };
    FAMILY.into_iter().filter(|name| !has(name)).collect()
}

/// What an allocator did.
pub struct Outcome {
    /// Its name.
    pub name: String,
    /// Resident bytes over the baseline, at equal steps of the work; 0 first.
    pub resident: Vec<f64>,
    /// How long the work took.
    pub seconds: f64,
}

impl Outcome {
    fn peak(&self) -> f64 {
        self.resident.iter().fold(0.0, |most, &rss| most.max(rss))
    }

    fn mean(&self) -> f64 {
        self.resident.iter().sum::<f64>() / self.resident.len() as f64
    }

    fn end(&self) -> f64 {
        self.resident.last().copied().unwrap_or_default()
    }
}

/// Replays on each and shows all of them.
pub fn compare(options: &Options) -> Result<(), Error> {
    let libraries = options
        .allocators
        .iter()
        .map(Allocator::library)
        .collect::<Result<Vec<_>, _>>()?;
    let out = crate::picture::File::create(&options.out)?;
    let prepared = prepare(&options.trace, Marks::Samples(SAMPLES))?;
    let progress = ProgressBar::new(libraries.len() as u64).with_style(
        ProgressStyle::with_template("{bar:24} {pos} of {len} replays, {msg} ({elapsed})")
            .expect("the template is well-formed"),
    );
    progress.enable_steady_tick(Duration::from_millis(200));
    let mut outcomes = Vec::new();
    for (allocator, library) in options.allocators.iter().zip(&libraries) {
        progress.set_message(allocator.name());
        outcomes.push(replay(prepared.path(), allocator, library.as_deref())?);
        progress.inc(1);
    }
    progress.finish_and_clear();

    let title = options
        .trace
        .file_name()
        .unwrap_or_default()
        .display()
        .to_string();
    out.write(chart::draw(&title, &outcomes))?;
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{}", table(&outcomes))
        .and_then(|()| {
            writeln!(
                stdout,
                "Resident memory over what each process had before, in MB of 2^20 bytes. Chart: {}",
                options.out.display()
            )
        })
        .map_err(Error::unwritten)
}

fn replay(
    prepared: &Path,
    allocator: &Allocator,
    library: Option<&Path>,
) -> Result<Outcome, Error> {
    let mut command = again(prepared)?;
    // A path, since what a library is called here it need not be called there.
    let role = if allocator.is_goheap() {
        "goheap"
    } else {
        "system"
    };
    command.arg("--allocator").arg(role);
    match library {
        Some(library) => command.env("LD_PRELOAD", library),
        None => command.env_remove("LD_PRELOAD"),
    };
    let name = allocator.name();
    let output = command
        .output()
        .map_err(Error::system("replay in a process of its own"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        return Err(Error::Child {
            trace: format!("the trace on {name}"),
            status: output.status,
            stderr: said.into_owned(),
        });
    }
    // The loader goes on without what it cannot load.
    if library.is_some() && said.contains("cannot be preloaded") {
        return Err(Error::NoAllocator {
            name,
            reason: said.trim().into(),
        });
    }
    let points = serde_json::Deserializer::from_slice(&output.stdout)
        .into_iter()
        .collect::<Result<Vec<Point>, _>>();
    let points = points.map_err(|error| Error::Figures {
        of: name.clone(),
        reason: error.to_string(),
    })?;
    let before = points.first().map_or(0, |point| point.rss) as f64;
    Ok(Outcome {
        name,
        resident: points
            .iter()
            .map(|point| point.rss as f64 - before)
            .collect(),
        seconds: points.last().map_or(0.0, |point| point.seconds),
    })
}

fn table(outcomes: &[Outcome]) -> Table {
    let rule = LineStyle::none().fill('─').junction('─');
    let mut table = Table::new();
    table
        .load_style(TableStyle::new().header_separator(rule))
        .set_content_arrangement(ContentArrangement::Disabled)
        .set_header(["allocator", "peak", "average", "end", "seconds"]);
    for outcome in outcomes {
        let mb = |bytes: f64| format!("{:.1}", bytes / MIB);
        table.add_row([
            outcome.name.clone(),
            mb(outcome.peak()),
            mb(outcome.mean()),
            mb(outcome.end()),
            format!("{:.3}", outcome.seconds),
        ]);
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}
