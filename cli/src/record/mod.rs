//! `goheap record`: runs a program and writes down what it asks of its heap.
//!
//! The program runs on the malloc that it has with `libgoheap_record.so` before that, which puts each
//! call into a ring in shared memory ([`goheap_ring`]). Here the rings are read as they fill, addresses
//! become ids ([`crate::trace::resolve`]), and the events a file ([`crate::trace::recording`]).
//! A crash of the program loses nothing; a crash here loses at most a second.

mod image;
mod rings;

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, ExitStatus};
use std::thread::sleep;
use std::time::Duration;

use rustc_hash::FxHashMap;

use crate::output::say;
use crate::passed_on::{self, Started};
use crate::trace::recording::Total;
use crate::{Error, preload, program};
use image::Image;
use rings::Folder;

/// Record what a program asks of its heap.
///
/// The program runs on the malloc that it has, its calls are written to FILE: who, when, how
/// much, and which object goes. `goheap replay FILE` does the same again. Its exit status is
/// passed on.
///
/// Recorded is the process that is started, in the last program that it runs by `exec`; with
/// --children also those that it starts, each from its own beginning. Not seen is
/// what does not go through malloc: mappings of a program's own, allocators that are part of it, and what a
/// library has beside malloc's family, as jemalloc's mallocx.
/// Exit codes are those of goheap run.
#[derive(clap::Args)]
pub struct Options {
    /// Where to write the trace. With --children, each process and program writes FILE.PID.
    #[arg(
        short,
        long,
        visible_alias = "out",
        value_name = "FILE",
        default_value = "goheap.trace"
    )]
    output: PathBuf,
    /// Record the processes that the program starts, too, and wait for them.
    #[arg(long)]
    children: bool,
    /// The program and its arguments.
    #[arg(required = true, trailing_var_arg = true, value_name = "PROGRAM")]
    program: Vec<OsString>,
}

/// Between two looks at rings that had nothing.
const NAP: Duration = Duration::from_micros(500);

/// Runs and records the program, says so, and ends as it did.
pub fn run(options: &Options) -> Result<ExitCode, Error> {
    passed_on::or_failed(run_to_end(options))
}

fn run_to_end(options: &Options) -> Result<ExitCode, Error> {
    program::check(&options.program[0])?;
    if !options.children {
        writable(&options.output)?;
    }
    let folder = Folder::new(options.children)?;
    let mut command = preload::command_on(
        &preload::recorder()?,
        &options.program[0],
        &options.program[1..],
    );
    command.env(rings::VARIABLE, folder.value());
    let mut started = Started::by(command)?;
    let mut recording = Recording {
        options,
        images: Vec::new(),
        names: FxHashMap::default(),
        done: Vec::new(),
    };
    let recorded = recording.until_the_end(&folder, &mut started);
    // What ends this process by a signal would leave it. Without it, no program begins a ring.
    drop(folder);
    let status = match recorded {
        Ok(status) => status,
        Err(error) => {
            // A disk that is full ends the recording, not the program.
            say(error);
            drop(recording);
            let status = started.wait()?;
            return started.pass_on_failed(status);
        }
    };
    if recording.done.is_empty() {
        return Err(Error::NotRecorded {
            program: options.program[0].clone().into(),
        });
    }
    for (path, total) in &recording.done {
        say(format_args!("goheap: {}", sentence(path, total)));
    }
    started.pass_on(status)
}

/// The recordings under way, and those that are whole.
struct Recording<'a> {
    options: &'a Options,
    images: Vec<Image>,
    /// How many programs each process has run.
    names: FxHashMap<u32, u32>,
    done: Vec<(PathBuf, Total)>,
}

impl Recording<'_> {
    /// Takes in all that there will be, and ends the files. Returns how the program ended.
    fn until_the_end(
        &mut self,
        folder: &Folder,
        started: &mut Started,
    ) -> Result<ExitStatus, Error> {
        let status = loop {
            // Before the rings are looked at: what is in them then is all there will be.
            let status = started.ended()?;
            let progress = self.advance(folder)?;
            match status {
                Some(status) if !progress && (self.is_over() || !self.options.children) => {
                    break status;
                }
                _ if progress => {}
                _ => sleep(NAP),
            }
        };
        self.finish()?;
        Ok(status)
    }

    /// Takes in new rings and what is in all of them. Whether there was anything.
    fn advance(&mut self, folder: &Folder) -> Result<bool, Error> {
        let mut progress = false;
        for ring in folder.new_rings()? {
            progress = true;
            // A process that begins again has left its former program, and all that was in it.
            let before = self
                .images
                .iter()
                .position(|image| image.pid() == ring.pid());
            if let Some(before) = before {
                let mut image = self.images.swap_remove(before);
                image.drain(true)?;
                let ended = image.finish()?;
                if self.options.children {
                    self.done.push(ended);
                }
            }
            let path = self.path_for(ring.pid());
            self.images
                .push(Image::new(ring, path, &self.options.program)?);
        }
        let mut still = Vec::new();
        for mut image in self.images.drain(..) {
            let over = image.is_over();
            progress |= image.drain(over)?;
            match over {
                true => self.done.push(image.finish()?),
                false => still.push(image),
            }
        }
        self.images = still;
        Ok(progress)
    }

    fn is_over(&self) -> bool {
        self.images.is_empty()
    }

    fn path_for(&mut self, pid: u32) -> PathBuf {
        let file = &self.options.output;
        if !self.options.children {
            return file.clone();
        }
        let count = self.names.entry(pid).or_default();
        *count += 1;
        let mut name = file.clone().into_os_string();
        name.push(format!(".{pid}"));
        if *count > 1 {
            name.push(format!(".{count}"));
        }
        name.into()
    }

    fn finish(&mut self) -> Result<(), Error> {
        for image in self.images.drain(..) {
            self.done.push(image.finish()?);
        }
        Ok(())
    }
}

/// Finds out before the program runs whether the file can be written. What is in it stays for now.
fn writable(path: &Path) -> Result<(), Error> {
    let mut options = File::options();
    let opened = options.write(true).create(true).truncate(false).open(path);
    opened
        .map(drop)
        .map_err(Error::system(format!("write {}", path.display())))
}

fn sentence(path: &Path, total: &Total) -> String {
    let bytes = path.metadata().map_or(0, |metadata| metadata.len());
    let each = bytes as f64 / total.events.max(1) as f64;
    let mut text = format!(
        "{}: {} events of {} thread{} in {:.2} s, {} objects at once, {each:.1} bytes an event",
        path.display(),
        total.events,
        total.threads,
        if total.threads == 1 { "" } else { "s" },
        total.micros as f64 / 1e6,
        total.ids,
    );
    if total.lost > 0 {
        text += &format!(", {} events lost as it was killed", total.lost);
    }
    text
}

/// An I/O error of a recording's file. What it says is put together only then: each event asks for this.
fn writing(path: &Path) -> impl FnOnce(io::Error) -> Error {
    move |error| Error::system(format!("write {}", path.display()))(error)
}
