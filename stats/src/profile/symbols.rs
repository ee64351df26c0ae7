//! Functions and files for addresses, and where a site's own frames begin.

use std::collections::HashMap;

/// A function that an address is in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Frame {
    /// Its name, as its programmer wrote it.
    pub function: String,
    /// Its name, as the linker has it.
    pub linked_as: String,
    /// The source file; empty if that is not known.
    pub file: String,
    /// The line; 0 if that is not known.
    pub line: u32,
}

/// A part of a file that is mapped to be run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mapping {
    /// Where it begins.
    pub start: u64,
    /// Where it ends.
    pub end: u64,
    /// Where in the file it begins, bytes.
    pub offset: u64,
    /// The file.
    pub file: String,
    /// Its build id, in hexadecimal; empty if it has none.
    pub build_id: String,
}

/// What addresses mean.
#[derive(Clone, Debug, Default)]
pub struct Symbols {
    /// The program first.
    pub mappings: Vec<Mapping>,
    /// By the address of a call, the functions that it is in: the innermost first, and behind it those that
    /// it was inlined into. Where it is missing or empty, nothing is known.
    pub frames: HashMap<u64, Vec<Frame>>,
}

/// The address that a call is looked up by: one within it, where a return address is behind it.
pub(super) fn call_of(return_address: u64) -> u64 {
    return_address.saturating_sub(1)
}

/// A stack's place, and of how many frames that are inlined there the first ones are left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Place {
    pub call: u64,
    pub skipped: usize,
}

impl Symbols {
    fn frames_at(&self, call: u64) -> &[Frame] {
        self.frames.get(&call).map_or(&[], Vec::as_slice)
    }

    /// The places of a stack, without those of the allocator and of what allocates for others at its
    /// inner end: the first one left is a site by the program's own name (Go leaves out its runtime's). Nothing
    /// is left out if nothing would be left.
    pub(super) fn places(&self, stack: &[u64]) -> Vec<Place> {
        for (i, &address) in stack.iter().enumerate() {
            let call = call_of(address);
            let frames = self.frames_at(call);
            // Nothing of the program's own is inlined into the allocator.
            let own = match frames.last() {
                Some(outermost) if is_allocator(&outermost.function) => None,
                _ => frames
                    .iter()
                    .position(|f| !allocates(&f.function) && !is_library(&f.file)),
            };
            let skipped = match own {
                Some(own) => own,
                None if frames.is_empty() => 0,
                None => continue,
            };
            let first = Place { call, skipped };
            let rest = stack[i + 1..].iter().map(|&address| Place {
                call: call_of(address),
                skipped: 0,
            });
            return std::iter::once(first).chain(rest).collect();
        }
        let whole = stack.iter().map(|&address| Place {
            call: call_of(address),
            skipped: 0,
        });
        whole.collect()
    }

    /// The frames of a place.
    pub(super) fn frames_of(&self, place: Place) -> &[Frame] {
        self.frames_at(place.call)
            .get(place.skipped..)
            .unwrap_or(&[])
    }

    /// The mapping that an address is in, by its number.
    pub(super) fn mapping_of(&self, address: u64) -> Option<usize> {
        self.mappings
            .iter()
            .position(|m| (m.start..m.end).contains(&address))
    }
}

/// Whether a source file is one of the standard libraries that allocate for whoever calls them: where debug
/// information is lines alone, names of inlined functions do not say so.
fn is_library(file: &str) -> bool {
    let within = |library| file.contains(library);
    [
        "/library/alloc/src/",
        "/library/core/src/",
        "/library/std/src/",
    ]
    .into_iter()
    .any(within)
        || file.contains("/hashbrown-") && file.contains("/src/")
}

/// What stands behind a function's angle brackets and references: the type whose function it is.
fn path_of(function: &str) -> &str {
    let path = function.trim_start_matches(['<', '&', '*', '[', '(']);
    ["mut ", "const ", "dyn "]
        .iter()
        .fold(path, |path, word| path.strip_prefix(word).unwrap_or(path))
}

fn is_within(path: &str, crates: &[&str]) -> bool {
    crates.iter().any(|name| {
        let rest = path.strip_prefix(name);
        rest.is_some_and(|rest| rest.starts_with("::") || rest.starts_with('['))
    })
}

/// Whether a function is the allocator's, or a door to it.
fn is_allocator(function: &str) -> bool {
    const C: [&str; 16] = [
        "malloc",
        "calloc",
        "realloc",
        "reallocarray",
        "memalign",
        "aligned_alloc",
        "posix_memalign",
        "valloc",
        "pvalloc",
        "operator new",
        "operator new[]",
        "__rust_alloc",
        "__rust_alloc_zeroed",
        "__rust_realloc",
        "__libc_malloc",
        "strdup",
    ];
    let path = path_of(function);
    let base = function.split('(').next().unwrap_or(function).trim_end();
    C.contains(&base)
        || path.starts_with("__rustc::__r")
        || is_within(path, &["goheap", "goheap_allocator"])
}

/// Whether a function is the allocator's, or one of the standard libraries' that allocates for whoever
/// calls it.
fn allocates(function: &str) -> bool {
    const LIBRARIES: [&str; 4] = ["alloc", "core", "std", "hashbrown"];
    const PRIMITIVE: [&str; 18] = [
        "u8", "u16", "u32", "u64", "u128", "usize", "i8", "i16", "i32", "i64", "i128", "isize",
        "f32", "f64", "bool", "char", "str", "()",
    ];
    let path = path_of(function);
    let of_primitive = |name: &&str| {
        path.strip_prefix(*name)
            .is_some_and(|p| p.starts_with(" as "))
    };
    is_allocator(function)
        || function.starts_with('<') && PRIMITIVE.iter().any(of_primitive)
        || is_within(path, &LIBRARIES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_allocates_for_others_is_told_from_who_asks_for_it() {
        for name in [
            "malloc",
            "operator new(unsigned long)",
            "goheap::slow::alloc",
            "<goheap::global::GoHeap as core::alloc::global::GlobalAlloc>::alloc",
            "__rustc::__rust_alloc",
            "alloc::raw_vec::RawVecInner<A>::finish_grow",
            "<alloc::string::String as core::clone::Clone>::clone",
            "<T as alloc::slice::hack::ConvertVec>::to_vec",
            "std::collections::hash::map::HashMap<K,V,S>::insert",
            "<u64 as core::fmt::Display>::fmt",
        ] {
            // A blanket implementation for a type that is not named is the program's as much as anybody's.
            assert_eq!(allocates(name), !name.starts_with("<T as"), "{name}");
        }
        for name in [
            "main",
            "app::load",
            "<app::Table as core::clone::Clone>::clone",
            "malloc_things",
            "allocator::make",
            "standard::x",
            "core_loop",
        ] {
            assert!(!allocates(name), "{name}");
        }
    }

    fn frame(function: &str) -> Frame {
        Frame {
            function: function.to_owned(),
            ..Frame::default()
        }
    }

    #[test]
    fn a_site_begins_at_the_first_frame_of_the_programs_own_be_it_inlined() {
        let symbols = Symbols {
            mappings: Vec::new(),
            frames: HashMap::from([
                (9, vec![frame("goheap::slow::alloc")]),
                (
                    19,
                    vec![frame("alloc::vec::Vec<T>::push"), frame("app::fill")],
                ),
                (29, vec![frame("core::ops::function::FnOnce::call_once")]),
            ]),
        };
        let places = symbols.places(&[10, 20, 30]);
        assert_eq!(places.len(), 2);
        assert_eq!(symbols.frames_of(places[0]), [frame("app::fill")]);
        assert_eq!(
            symbols.frames_of(places[1]).len(),
            1,
            "nothing is left out further out"
        );
        let hidden = symbols.places(&[10, 30]);
        assert_eq!(hidden.len(), 2, "not all of a stack is left out");
        let unknown = symbols.places(&[10, 50]);
        assert_eq!(unknown.len(), 1, "what nobody knows may be the program's");
    }

    /// As it is where debug information is lines alone: outermost functions have their linker's names,
    /// and those inlined into them have neither module nor type.
    #[test]
    fn where_names_are_bare_a_site_is_found_all_the_same() {
        let library = |function: &str| Frame {
            file: "/rustc/0123/library/alloc/src/vec/mod.rs".to_owned(),
            ..frame(function)
        };
        let symbols = Symbols {
            mappings: Vec::new(),
            frames: HashMap::from([
                (
                    9,
                    vec![
                        frame("{closure#0}"),
                        frame("with_last_stack"),
                        frame("goheap::profile::sample"),
                    ],
                ),
                (19, vec![frame("finish"), frame("malloc")]),
                (
                    29,
                    vec![
                        library("with_capacity_in"),
                        library("from_elem"),
                        frame("app::fill"),
                    ],
                ),
            ]),
        };
        let places = symbols.places(&[10, 20, 30]);
        assert_eq!(places.len(), 1);
        assert_eq!(symbols.frames_of(places[0]), [frame("app::fill")]);
    }

    #[test]
    fn a_programs_own_sources_are_no_library_wherever_they_lie() {
        let library = [
            "/rustc/0123abcd/library/alloc/src/vec/mod.rs",
            "/home/me/.cargo/registry/src/index/hashbrown-0.16.0/src/raw.rs",
        ];
        let own = [
            "/home/me/program/src/main.rs",
            "/home/me/hashbrown-user/main.rs",
        ];
        assert_eq!(library.map(is_library), [true; 2]);
        assert_eq!(own.map(is_library), [false; 2]);
    }
}
