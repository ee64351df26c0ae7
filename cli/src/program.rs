//! Whether a program can be run on the library: looked at before it starts, since the loader would
//! pass over the library in silence, or with a line that explains nothing.

use std::ffi::{CString, OsStr, OsString};
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use object::elf::{self, FileHeader32, FileHeader64};
use object::read::elf::{FileHeader, ProgramHeader};

use crate::{Error, clash};

/// A script may be run by a script, and so on; Linux allows as many.
const DEEPEST: usize = 5;
/// As much of a script's first line as Linux looks at.
const FIRST_LINE: usize = 256;

/// Finds the program as `exec` would, and checks it and what is preloaded already.
///
/// # Errors
/// It is missing (exit code 127), or cannot be run on the library (126); the error says why.
pub fn check(program: &OsStr) -> Result<PathBuf, Error> {
    let path = find(program)?;
    check_file(&path, 0).map_err(|reason| refused(&path, 126, reason))?;
    let others = std::env::var_os("LD_PRELOAD").unwrap_or_default();
    match clash::of_preloaded(&others) {
        Some(reason) => Err(refused(&path, 126, reason)),
        None => Ok(path),
    }
}

fn refused(program: impl AsRef<Path>, code: u8, reason: String) -> Error {
    Error::Program {
        program: program.as_ref().into(),
        reason,
        code,
    }
}

/// The file that a name stands for: itself if it has a slash, else what `PATH` says.
fn find(program: &OsStr) -> Result<PathBuf, Error> {
    let missing = || refused(program, 127, "is not found".into());
    if program.as_bytes().contains(&b'/') {
        let path = PathBuf::from(program);
        return match fs::metadata(&path) {
            Ok(_) => Ok(path),
            Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
                Err(refused(program, 126, format!("cannot be reached: {error}")))
            }
            Err(_) => Err(missing()),
        };
    }
    let folders = std::env::var_os("PATH").unwrap_or_else(|| OsString::from("/bin:/usr/bin"));
    let mut there = std::env::split_paths(&folders)
        .map(|folder| folder.join(program))
        .filter(|path| path.is_file());
    let first = there.next();
    first
        .iter()
        .cloned()
        .chain(there)
        .find(|path| may_run(path))
        .or(first)
        .filter(|_| !program.is_empty())
        .ok_or_else(missing)
}

fn may_run(path: &Path) -> bool {
    // SAFETY: the path ends in NUL.
    CString::new(path.as_os_str().as_bytes())
        .is_ok_and(|path| unsafe { libc::access(path.as_ptr(), libc::X_OK) == 0 })
}

/// `Err` says why the file cannot be run on the library, to follow its name.
fn check_file(path: &Path, depth: usize) -> Result<(), String> {
    let meta = fs::metadata(path).map_err(|error| format!("cannot be looked at: {error}"))?;
    if !meta.is_file() {
        return Err("is no file that can be run".into());
    }
    if !may_run(path) {
        return Err("may not be executed: permission denied".into());
    }
    let privileged = match meta.permissions().mode() {
        mode if mode & libc::S_ISUID != 0 => Some("is setuid"),
        mode if mode & libc::S_ISGID != 0 => Some("is setgid"),
        _ if has_capabilities(path) => Some("has capabilities"),
        _ => None,
    };
    if let Some(is) = privileged {
        return Err(format!(
            "{is}: for such programs the system passes over preloaded libraries"
        ));
    }
    // What may be run but not read can be anything.
    let Ok(mut file) = File::open(path) else {
        return Ok(());
    };
    let mut start = Vec::new();
    let read = file
        .by_ref()
        .take(FIRST_LINE as u64)
        .read_to_end(&mut start);
    read.map_err(|error| format!("cannot be read: {error}"))?;
    if start.starts_with(b"#!") {
        return check_script(&start[2..], depth);
    }
    if start.starts_with(b"\x7fELF") {
        // The headers that count stand at the start in every program there is; a megabyte is plenty.
        let rest = file.take(1 << 20).read_to_end(&mut start);
        rest.map_err(|error| format!("cannot be read: {error}"))?;
        check_elf(&start)?;
        return clash::of_program(path).map_or(Ok(()), Err);
    }
    // Without a first line of its own a script is run by the shell.
    check_file(Path::new("/bin/sh"), depth + 1)
}

fn has_capabilities(path: &Path) -> bool {
    let Ok(path) = CString::new(path.as_os_str().as_bytes()) else {
        return false;
    };
    let name = c"security.capability";
    // SAFETY: both strings end in NUL; without a buffer only the length is asked for.
    unsafe { libc::getxattr(path.as_ptr(), name.as_ptr(), std::ptr::null_mut(), 0) > 0 }
}

/// A script is as good as what interprets it.
fn check_script(first_line: &[u8], depth: usize) -> Result<(), String> {
    if depth >= DEEPEST {
        return Err("is a script run by a script, too many times over".into());
    }
    let line = first_line.split(|&c| c == b'\n').next().unwrap_or(&[]);
    let mut words = line
        .split(|c| c.is_ascii_whitespace())
        .filter(|word| !word.is_empty())
        .map(|word| OsString::from_vec(word.to_vec()));
    let interpreter = PathBuf::from(
        words
            .next()
            .ok_or("is a script that names no interpreter")?,
    );
    let of_script = |path: &Path, reason: String| {
        format!(
            "is a script, and its interpreter {} {reason}",
            path.display()
        )
    };
    if !interpreter.exists() {
        return Err(of_script(&interpreter, "is not found".into()));
    }
    check_file(&interpreter, depth + 1).map_err(|reason| of_script(&interpreter, reason))?;
    // env runs the program that it is given, past options and settings.
    if interpreter.file_name() == Some(OsStr::new("env")) {
        let is_program = |word: &OsString| {
            let word = word.as_bytes();
            !word.starts_with(b"-") && !word.contains(&b'=')
        };
        if let Some(Ok(path)) = words.find(is_program).map(|program| find(&program)) {
            return check_file(&path, depth + 1).map_err(|reason| of_script(&path, reason));
        }
    }
    Ok(())
}

/// Whether the loader runs this file, and would find the library to be of its kind.
fn check_elf(bytes: &[u8]) -> Result<(), String> {
    match bytes.get(4) {
        Some(&elf::ELFCLASS64) => check_header::<FileHeader64<object::Endianness>>(bytes),
        Some(&elf::ELFCLASS32) => check_header::<FileHeader32<object::Endianness>>(bytes),
        _ => Err("is no program: its ELF header makes no sense".into()),
    }
}

fn check_header<H: FileHeader<Endian = object::Endianness>>(bytes: &[u8]) -> Result<(), String> {
    let broken = |error: object::read::Error| format!("is no program: {error}");
    let header = H::parse(bytes).map_err(broken)?;
    let endian = header.endian().map_err(broken)?;
    let machine = header.e_machine(endian);
    let little = header.is_little_endian();
    if (machine, header.is_class_64(), little) != OWN {
        return Err(format!(
            "is for another architecture ({}): the library is for {}",
            name(machine, header.is_class_64()),
            name(OWN.0, OWN.1)
        ));
    }
    if header.e_type(endian) != elf::ET_EXEC && header.e_type(endian) != elf::ET_DYN {
        return Err("is no program, but another kind of ELF file".into());
    }
    let segments = header.program_headers(endian, bytes).map_err(broken)?;
    for segment in segments {
        if let Some(loader) = segment.interpreter(endian, bytes).map_err(broken)? {
            return match loader.windows(7).any(|part| part == b"ld-musl") {
                true => Err("is linked against musl: the library is for glibc's programs".into()),
                false => Ok(()),
            };
        }
    }
    Err("is statically linked: there is no loader that could put the library under it".into())
}

/// What the library is built for: machine, whether 64 bits wide, whether little-endian.
const OWN: (u16, bool, bool) = (
    if cfg!(target_arch = "x86_64") {
        elf::EM_X86_64
    } else if cfg!(target_arch = "aarch64") {
        elf::EM_AARCH64
    } else if cfg!(target_arch = "riscv64") {
        elf::EM_RISCV
    } else if cfg!(target_arch = "powerpc64") {
        elf::EM_PPC64
    } else if cfg!(target_arch = "s390x") {
        elf::EM_S390
    } else if cfg!(target_arch = "loongarch64") {
        elf::EM_LOONGARCH
    } else if cfg!(target_arch = "arm") {
        elf::EM_ARM
    } else if cfg!(target_arch = "x86") {
        elf::EM_386
    } else {
        elf::EM_NONE
    },
    cfg!(target_pointer_width = "64"),
    cfg!(target_endian = "little"),
);

fn name(machine: u16, wide: bool) -> String {
    let name = match machine {
        elf::EM_X86_64 if wide => "x86-64",
        elf::EM_X86_64 => "x32",
        elf::EM_386 => "32-bit x86",
        elf::EM_AARCH64 => "aarch64",
        elf::EM_ARM => "32-bit ARM",
        elf::EM_RISCV => "RISC-V",
        elf::EM_PPC64 => "PowerPC 64",
        elf::EM_S390 => "s390",
        elf::EM_MIPS => "MIPS",
        elf::EM_LOONGARCH => "LoongArch",
        _ => return format!("ELF machine {machine}"),
    };
    name.into()
}
