//! Which kind of trace a file is: its first bytes say, not its name.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek};
use std::path::Path;

use super::event::Events;
use super::{heaptrack, recording};
use crate::Error;

const GZIP: [u8; 2] = [0x1f, 0x8b];
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
const HEAPTRACK: &[u8] = b"v ";

/// What a file is.
pub enum Form {
    /// Text: the language of traces, or nothing that can be read.
    Text,
    /// Something recorded.
    Recorded(Box<dyn Events>),
}

/// Opens a trace.
///
/// # Errors
/// The file cannot be read, or its beginning is broken.
pub fn open(path: &Path) -> Result<Form, Error> {
    let reading = || format!("read {}", path.display());
    let mut file = File::open(path).map_err(Error::system(reading()))?;
    let metadata = file.metadata().map_err(Error::system(reading()))?;
    if !metadata.is_file() {
        // A pipe or a folder cannot be mapped or read twice, and the system's reason would mislead.
        return Err(Error::System {
            doing: reading(),
            source: io::Error::other("it is no regular file"),
        });
    }
    let mut start = Vec::new();
    file.by_ref()
        .take(8)
        .read_to_end(&mut start)
        .and_then(|_| file.rewind())
        .map_err(Error::system(reading()))?;
    if start == recording::MAGIC {
        let reader = recording::Reader::new(BufReader::with_capacity(1 << 16, file));
        let reader = reader.map_err(|broken| Error::Recording {
            path: path.into(),
            broken,
        })?;
        return Ok(Form::Recorded(Box::new(reader)));
    }
    let unpacked: Box<dyn Read> = if start.starts_with(&GZIP) {
        Box::new(flate2::bufread::MultiGzDecoder::new(BufReader::new(file)))
    } else if start.starts_with(&ZSTD) {
        Box::new(zstd::Decoder::new(file).map_err(Error::system(reading()))?)
    } else if start.starts_with(HEAPTRACK) {
        Box::new(file)
    } else {
        return Ok(Form::Text);
    };
    let mut unpacked = BufReader::with_capacity(1 << 16, unpacked);
    let text = unpacked.fill_buf().map_err(Error::system(reading()))?;
    if !text.starts_with(HEAPTRACK) {
        return Err(Error::System {
            doing: reading(),
            source: io::Error::other(
                "it is packed, and what is in it is no recording of heaptrack",
            ),
        });
    }
    Ok(Form::Recorded(Box::new(heaptrack::Reader::new(unpacked))))
}
