//! Building and running programs of other languages against the library that was just built.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// What every C program here is built with.
pub(crate) const C: &[&str] = &["-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-O2"];
/// What every C++ program here is built with.
pub(crate) const CPP: &[&str] = &[
    "-std=c++17",
    "-Wall",
    "-Wextra",
    "-Wpedantic",
    "-Wshadow",
    "-Wconversion",
    "-Wold-style-cast",
    "-Werror",
    "-O2",
];

/// A folder that goes with the test, with the library in it as it is installed.
pub(crate) struct Bench {
    folder: PathBuf,
}

/// The package's own folder.
pub(crate) fn home() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

impl Bench {
    pub(crate) fn new(test: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("bumpless-{test}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        // Cargo builds it with this test, into the folder that the test itself is in.
        let own = std::env::current_exe().unwrap();
        let built = own.parent().unwrap().join("libbumpless.so");
        assert!(built.exists(), "no {}: it is built with the package", built.display());
        for name in ["libbumpless.so", "libbumpless.so.0"] {
            std::os::unix::fs::symlink(&built, folder.join(name)).unwrap();
        }
        Self { folder }
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The library.
    pub(crate) fn library(&self) -> PathBuf {
        self.folder.join("libbumpless.so.0")
    }

    /// Builds one program from `source`; its path.
    pub(crate) fn build(&self, compiler: &str, flags: &[&str], source: &Path) -> PathBuf {
        let program = self.folder.join(source.file_stem().unwrap());
        let mut command = Command::new(compiler);
        command.args(flags).arg("-I").arg(home().join("include"));
        command.arg(source).arg("-o").arg(&program).arg("-L").arg(&self.folder);
        command.args(["-lbumpless", "-lpthread"]);
        command.arg(format!("-Wl,-rpath,{}", self.folder.display()));
        succeeds(&mut command);
        program
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Runs a command that has to end well; what it printed.
pub(crate) fn succeeds(command: &mut Command) -> String {
    let Output { status, stdout, stderr } =
        command.output().unwrap_or_else(|why| panic!("{command:?}: {why}"));
    let [out, err] = [stdout, stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    assert!(status.success(), "{command:?}: {status}\n{out}{err}");
    out
}
