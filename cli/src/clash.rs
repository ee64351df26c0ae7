//! What bears no malloc but its own, seen before a program starts: it would end in a line that explains
//! nothing, or in none.

use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use object::read::{Object, ObjectSymbol, ReadCache};

use crate::preload;

/// Functions by which the sanitizers' runtimes start, and what compilers call each of these.
const SANITIZERS: [(&str, &str); 4] = [
    ("__asan_init", "address"),
    ("__hwasan_init", "hwaddress"),
    ("__msan_init", "memory"),
    ("__tsan_init", "thread"),
];

/// Why no malloc can be put under the program in this file, to follow its name. `None` also of what cannot be read.
pub fn of_program(path: &Path) -> Option<String> {
    let sanitizer = looked_into(path, sanitizer)?;
    Some(format!(
        "is built with -fsanitize={sanitizer}, whose runtime bears no malloc but its own: run a build without it"
    ))
}

/// Why no program can be run on a library in front of those in this list, which is as in `LD_PRELOAD`; to
/// follow the program's name.
pub fn of_preloaded(list: &OsStr) -> Option<String> {
    let names = list.as_bytes().split(|byte| b" :".contains(byte));
    names.filter(|name| !name.is_empty()).find_map(|name| {
        let name = Path::new(OsStr::from_bytes(name));
        if name.file_name().is_some_and(preload::is_ours) {
            return None;
        }
        let is = looked_into(&found(name)?, |file| match sanitizer(file) {
            Some(sanitizer) => Some(format!("the runtime of -fsanitize={sanitizer}")),
            None => has_malloc(file).then(|| "another malloc".into()),
        })?;
        Some(format!(
            "would have {} preloaded, too, which is {is}, and a program has but one: take that out of LD_PRELOAD",
            name.display()
        ))
    })
}

/// The file that the loader would take for a name in `LD_PRELOAD`.
fn found(name: &Path) -> Option<PathBuf> {
    if name.is_file() && name.as_os_str().as_bytes().contains(&b'/') {
        return Some(name.into());
    }
    // The loader also puts words in the place of $LIB and its like.
    preload::of_the_system(name.file_name()?)
}

type Looked<'a> = object::File<'a, &'a ReadCache<File>>;

fn looked_into<T>(path: &Path, f: impl FnOnce(&Looked) -> Option<T>) -> Option<T> {
    let file = ReadCache::new(File::open(path).ok()?);
    f(&object::File::parse(&file).ok()?)
}

fn sanitizer(file: &Looked) -> Option<&'static str> {
    // A runtime that is linked in need not be seen from outside.
    file.dynamic_symbols()
        .chain(file.symbols())
        // A program may ask whether there is one.
        .filter(|symbol| !(symbol.is_weak() && symbol.is_undefined()))
        .find_map(|symbol| {
            let name = symbol.name().ok()?;
            let (_, sanitizer) = SANITIZERS.iter().find(|(init, _)| *init == name)?;
            Some(*sanitizer)
        })
}

fn has_malloc(file: &Looked) -> bool {
    file.dynamic_symbols()
        .any(|symbol| symbol.is_definition() && symbol.name() == Ok("malloc"))
}
