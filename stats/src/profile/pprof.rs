//! The profile as `go tool pprof` and others read it: Google's profile.proto, gzipped.
//!
//! Field numbers are those of `github.com/google/pprof/proto/profile.proto`; fields that are never written
//! are not here.

use super::symbols::Place;
use super::{Samples, Symbols};
use flate2::Compression;
use flate2::write::GzEncoder;
use prost::Message;
use std::collections::HashMap;
use std::hash::Hash;
use std::io::{self, Write};

/// What a profile's readers are to show first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// What is in use, as in Go's profile "heap".
    InUse,
    /// All that was allocated, as in Go's profile "allocs".
    Allocated,
}

/// What is told of each site, and in which unit. The last is goheap's own: bytes of span that a site's
/// objects keep from going idle.
pub const SAMPLE_TYPES: [(&str, &str); 5] = [
    ("alloc_objects", "count"),
    ("alloc_space", "bytes"),
    ("inuse_objects", "count"),
    ("inuse_space", "bytes"),
    ("held_space", "bytes"),
];

#[derive(Clone, PartialEq, Message)]
pub(super) struct Profile {
    #[prost(message, repeated, tag = "1")]
    pub sample_type: Vec<ValueType>,
    #[prost(message, repeated, tag = "2")]
    pub sample: Vec<Sample>,
    #[prost(message, repeated, tag = "3")]
    pub mapping: Vec<Mapping>,
    #[prost(message, repeated, tag = "4")]
    pub location: Vec<Location>,
    #[prost(message, repeated, tag = "5")]
    pub function: Vec<Function>,
    #[prost(string, repeated, tag = "6")]
    pub string_table: Vec<String>,
    #[prost(int64, tag = "9")]
    pub time_nanos: i64,
    #[prost(int64, tag = "10")]
    pub duration_nanos: i64,
    #[prost(message, optional, tag = "11")]
    pub period_type: Option<ValueType>,
    #[prost(int64, tag = "12")]
    pub period: i64,
    #[prost(int64, repeated, tag = "13")]
    pub comment: Vec<i64>,
    #[prost(int64, tag = "14")]
    pub default_sample_type: i64,
}

#[derive(Clone, Copy, PartialEq, Message)]
pub(super) struct ValueType {
    #[prost(int64, tag = "1")]
    pub r#type: i64,
    #[prost(int64, tag = "2")]
    pub unit: i64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Sample {
    #[prost(uint64, repeated, tag = "1")]
    pub location_id: Vec<u64>,
    #[prost(int64, repeated, tag = "2")]
    pub value: Vec<i64>,
    #[prost(message, repeated, tag = "3")]
    pub label: Vec<Label>,
}

#[derive(Clone, Copy, PartialEq, Message)]
pub(super) struct Label {
    #[prost(int64, tag = "1")]
    pub key: i64,
    #[prost(int64, tag = "3")]
    pub num: i64,
    #[prost(int64, tag = "4")]
    pub num_unit: i64,
}

#[derive(Clone, Copy, PartialEq, Message)]
pub(super) struct Mapping {
    #[prost(uint64, tag = "1")]
    pub id: u64,
    #[prost(uint64, tag = "2")]
    pub memory_start: u64,
    #[prost(uint64, tag = "3")]
    pub memory_limit: u64,
    #[prost(uint64, tag = "4")]
    pub file_offset: u64,
    #[prost(int64, tag = "5")]
    pub filename: i64,
    #[prost(int64, tag = "6")]
    pub build_id: i64,
    #[prost(bool, tag = "7")]
    pub has_functions: bool,
    #[prost(bool, tag = "8")]
    pub has_filenames: bool,
    #[prost(bool, tag = "9")]
    pub has_line_numbers: bool,
    #[prost(bool, tag = "10")]
    pub has_inline_frames: bool,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Location {
    #[prost(uint64, tag = "1")]
    pub id: u64,
    #[prost(uint64, tag = "2")]
    pub mapping_id: u64,
    #[prost(uint64, tag = "3")]
    pub address: u64,
    #[prost(message, repeated, tag = "4")]
    pub line: Vec<Line>,
}

#[derive(Clone, Copy, PartialEq, Message)]
pub(super) struct Line {
    #[prost(uint64, tag = "1")]
    pub function_id: u64,
    #[prost(int64, tag = "2")]
    pub line: i64,
}

#[derive(Clone, Copy, PartialEq, Message)]
pub(super) struct Function {
    #[prost(uint64, tag = "1")]
    pub id: u64,
    #[prost(int64, tag = "2")]
    pub name: i64,
    #[prost(int64, tag = "3")]
    pub system_name: i64,
    #[prost(int64, tag = "4")]
    pub filename: i64,
}

/// Numbers for things, from 0 on in the order in which they come.
struct Numbers<T>(HashMap<T, usize>);

impl<T: Eq + Hash> Numbers<T> {
    fn new() -> Self {
        Self(HashMap::new())
    }

    /// The number of `thing`, and whether it is new.
    fn of(&mut self, thing: T) -> (usize, bool) {
        let next = self.0.len();
        let number = *self.0.entry(thing).or_insert(next);
        (number, number == next)
    }
}

struct Strings {
    numbers: HashMap<String, i64>,
    all: Vec<String>,
}

impl Strings {
    fn of(&mut self, text: &str) -> i64 {
        if let Some(&number) = self.numbers.get(text) {
            return number;
        }
        let number = self.all.len() as i64;
        self.all.push(text.to_owned());
        self.numbers.insert(text.to_owned(), number);
        number
    }
}

struct Builder<'a> {
    symbols: &'a Symbols,
    strings: Strings,
    places: Numbers<Place>,
    functions: Numbers<(i64, i64, i64)>,
    profile: Profile,
}

impl Builder<'_> {
    fn value_type(&mut self, (name, unit): (&str, &str)) -> ValueType {
        ValueType {
            r#type: self.strings.of(name),
            unit: self.strings.of(unit),
        }
    }

    fn mappings(&mut self) {
        let symbols = self.symbols;
        for (i, mapping) in symbols.mappings.iter().enumerate() {
            let here = |call: &u64| (mapping.start..mapping.end).contains(call);
            let known = symbols.frames.iter().filter(|(call, _)| here(call));
            let frames = || known.clone().flat_map(|(_, frames)| frames);
            let has_lines = frames().any(|f| f.line > 0);
            let written = Mapping {
                id: i as u64 + 1,
                memory_start: mapping.start,
                memory_limit: mapping.end,
                file_offset: mapping.offset,
                filename: self.strings.of(&mapping.file),
                build_id: self.strings.of(&mapping.build_id),
                has_functions: frames().next().is_some(),
                has_filenames: frames().any(|f| !f.file.is_empty()),
                has_line_numbers: has_lines,
                has_inline_frames: has_lines,
            };
            self.profile.mapping.push(written);
        }
    }

    fn location(&mut self, place: Place) -> u64 {
        let (number, new) = self.places.of(place);
        let id = number as u64 + 1;
        if !new {
            return id;
        }
        let symbols = self.symbols;
        let line = symbols.frames_of(place).iter().map(|frame| {
            let key = (
                self.strings.of(&frame.function),
                self.strings.of(&frame.linked_as),
                self.strings.of(&frame.file),
            );
            let (number, new) = self.functions.of(key);
            let function_id = number as u64 + 1;
            if new {
                self.profile.function.push(Function {
                    id: function_id,
                    name: key.0,
                    system_name: key.1,
                    filename: key.2,
                });
            }
            Line {
                function_id,
                line: frame.line.into(),
            }
        });
        let line = line.collect();
        let mapping = symbols.mapping_of(place.call);
        self.profile.location.push(Location {
            id,
            mapping_id: mapping.map_or(0, |number| number as u64 + 1),
            address: place.call,
            line,
        });
        id
    }
}

impl Samples {
    /// Writes the profile as gzipped profile.proto, with the names of functions in it.
    ///
    /// # Errors
    /// What `to` refuses.
    pub fn write_pprof(&self, symbols: &Symbols, shown: Shown, to: impl Write) -> io::Result<()> {
        let mut gzip = GzEncoder::new(to, Compression::default());
        gzip.write_all(&self.to_proto(symbols, shown).encode_to_vec())?;
        gzip.finish()?.flush()
    }

    pub(super) fn to_proto(&self, symbols: &Symbols, shown: Shown) -> Profile {
        let mut builder = Builder {
            symbols,
            strings: Strings {
                numbers: HashMap::new(),
                all: Vec::new(),
            },
            places: Numbers::new(),
            functions: Numbers::new(),
            profile: Profile::default(),
        };
        builder.strings.of("");
        builder.profile.sample_type = SAMPLE_TYPES
            .iter()
            .map(|&pair| builder.value_type(pair))
            .collect();
        builder.profile.default_sample_type = builder.strings.of(match shown {
            Shown::InUse => "inuse_space",
            Shown::Allocated => "alloc_space",
        });
        builder.profile.period_type = Some(builder.value_type(("space", "bytes")));
        builder.profile.period = self.rate as i64;
        builder.profile.time_nanos = self.taken_ns as i64;
        builder.profile.duration_nanos = self.duration_ns as i64;
        let comments = self.comments.iter().map(|c| builder.strings.of(c));
        builder.profile.comment = comments.collect();
        builder.mappings();
        let bytes = builder.strings.of("bytes");
        for site in &self.sites {
            let e = site.estimate(self.rate);
            let values = [
                e.alloc_objects,
                e.alloc_space,
                e.inuse_objects,
                e.inuse_space,
                e.held_space,
            ];
            let places = symbols.places(&site.stack);
            let sample = Sample {
                location_id: places.into_iter().map(|p| builder.location(p)).collect(),
                // The casts saturate.
                value: values.iter().map(|v| v.round() as i64).collect(),
                label: vec![Label {
                    key: bytes,
                    num: site.slot_bytes as i64,
                    num_unit: bytes,
                }],
            };
            builder.profile.sample.push(sample);
        }
        let Builder {
            strings,
            mut profile,
            ..
        } = builder;
        profile.string_table = strings.all;
        profile
    }
}
