//! What addresses mean, from the files that they were loaded from: symbol tables, and debug information
//! where there is some. Reads files, and takes memory for them while it does.

use super::modules::{Loaded, Modules};
use addr2line::Loader;
use goheap_stats::profile::{Frame, Mapping, Symbols};
use std::collections::{BTreeMap, HashMap};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

/// The program and its libraries, and the functions that these addresses are in. A file that cannot be read
/// leaves its addresses without names: what reads the profile may find them by its build id.
pub fn symbolize(modules: &Modules, calls: impl Iterator<Item = u64>) -> Symbols {
    let mut program_first: Vec<&Loaded> = modules.iter().collect();
    program_first.sort_by_key(|module| !modules.name(module).is_empty());
    let mappings = program_first.iter().map(|module| Mapping {
        start: module.code.start as u64,
        end: module.code.end as u64,
        offset: module.code_offset,
        file: path(modules, module).to_string_lossy().into_owned(),
        build_id: hexadecimal(module.build_id()),
    });
    let mut by_module: BTreeMap<usize, (&Loaded, Vec<u64>)> = BTreeMap::new();
    for call in calls {
        if let Some(module) = modules.at(call as usize) {
            let entry = by_module.entry(module.memory.start);
            entry.or_insert((module, Vec::new())).1.push(call);
        }
    }
    let mut frames = HashMap::new();
    for (module, calls) in by_module.into_values() {
        let Ok(loader) = Loader::new(path(modules, module)) else {
            continue;
        };
        for call in calls {
            let stated = call.wrapping_sub(module.base as u64);
            frames
                .entry(call)
                .or_insert_with(|| frames_at(&loader, stated));
        }
    }
    Symbols {
        mappings: mappings.collect(),
        frames,
    }
}

fn path(modules: &Modules, module: &Loaded) -> PathBuf {
    match modules.name(module) {
        b"" => std::fs::read_link("/proc/thread-self/exe").unwrap_or_default(),
        name => PathBuf::from(OsStr::from_bytes(name)),
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The functions at an address, the innermost first.
fn frames_at(loader: &Loader, address: u64) -> Vec<Frame> {
    let mut found = Vec::new();
    if let Ok(mut frames) = loader.find_frames(address) {
        while let Ok(Some(frame)) = frames.next() {
            let name = frame.function.as_ref();
            let linked_as = name.and_then(|n| Some(n.raw_name().ok()?.into_owned()));
            let function = name.and_then(|n| Some(n.demangle().ok()?.into_owned()));
            let place = frame.location.as_ref();
            found.push(Frame {
                function: function.unwrap_or_default(),
                linked_as: linked_as.unwrap_or_default(),
                file: place.and_then(|p| p.file).unwrap_or_default().to_owned(),
                line: place.and_then(|p| p.line).unwrap_or_default(),
            });
        }
    }
    // Without debug information of its own, the outermost function has its linker's name. So it has where debug
    // information is lines alone (`debug = "line-tables-only"`): names there say neither module nor type.
    let bare = found
        .last()
        .is_none_or(|frame| demangled(&frame.linked_as).is_none());
    if bare && let Some(symbol) = loader.find_symbol(address) {
        let nameless = found.last().is_none_or(|frame| frame.function.is_empty());
        if let Some(function) = demangled(symbol).or(nameless.then(|| symbol.to_owned())) {
            let last = found.pop().unwrap_or_default();
            found.push(Frame {
                function,
                linked_as: symbol.to_owned(),
                ..last
            });
        }
    }
    found.retain(|frame| !frame.function.is_empty());
    found
}

/// A linker's name as its programmer wrote it; `None` if it is the same.
fn demangled(name: &str) -> Option<String> {
    let function = addr2line::demangle_auto(name.into(), None);
    (function != name).then(|| function.into_owned())
}
