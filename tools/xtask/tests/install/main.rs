//! What is installed is found by those who look for it: the compiler, the loader, Python; and the
//! page on the C interface is followed with it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod page;

use std::path::{Path, PathBuf};
use std::process::Command;

fn succeeds(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let why = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}\n{said}{why}", output.status);
    said
}

struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn install(arguments: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
    succeeds(command.args(["install", "--profile", "checked"]).args(arguments))
}

/// Flags for a program, as pkg-config says.
fn flags(prefix: &Path, options: &[&str]) -> Vec<String> {
    let mut command = Command::new("pkg-config");
    command.env("PKG_CONFIG_PATH", prefix.join("lib/pkgconfig"));
    let said = succeeds(command.args(options).arg("bumpless"));
    said.split_whitespace().map(str::to_owned).collect()
}

#[test]
fn a_program_is_built_against_what_is_installed_and_runs() {
    let scratch = std::env::temp_dir().join(format!("bumpless-install-{}", std::process::id()));
    let scratch = Scratch(scratch);
    let prefix = scratch.0.join("usr");
    let said = install(&["--prefix", prefix.to_str().unwrap()]);
    for file in [
        "bin/bumpless",
        "bin/bumpless-latency",
        "sbin/bumplessd",
        "lib/libbumpless.a",
        "lib/libbumpless.so.0",
        "include/bumpless.hpp",
        "lib/systemd/system/bumplessd@.service",
        "share/man/man8/bumplessd.8",
        "share/doc/bumpless/examples/hello_active.c",
    ] {
        assert!(prefix.join(file).is_file(), "{file} is missing:\n{said}");
    }
    let service = prefix.join("lib/systemd/system/bumplessd@.service");
    let program = format!("ExecStart={}/sbin/bumplessd ", prefix.display());
    assert!(std::fs::read_to_string(service).unwrap().contains(&program));

    let source = scratch.0.join("version.c");
    let text = "#include <bumpless.h>\n#include <stdio.h>\n\
                int main(void) {\n  puts(bmpl_version_string());\n  \
                return bmpl_commit(NULL) != BMPL_E_HANDLE;\n}\n";
    std::fs::write(&source, text).unwrap();
    let version = flags(&prefix, &["--modversion"]).concat();
    for (name, options, library) in [
        ("shared", &["--cflags", "--libs"][..], "-lbumpless"),
        ("static", &["--cflags", "--libs", "--static"], "-l:libbumpless.a"),
    ] {
        let program = scratch.0.join(name);
        let flags = flags(&prefix, options);
        let flags = flags.iter().map(|it| if it == "-lbumpless" { library } else { it });
        let mut compiler = Command::new("cc");
        succeeds(compiler.arg("-std=c99").arg(&source).arg("-o").arg(&program).args(flags));
        let mut program = Command::new(program);
        if name == "shared" {
            program.env("LD_LIBRARY_PATH", prefix.join("lib"));
        }
        assert_eq!(succeeds(&mut program).trim(), version, "{name}");
    }
    // The page on the C interface begins with what has just been done.
    let text = include_str!("../../../../docs/c-api.md");
    let folder = scratch.0.join("page");
    std::fs::create_dir_all(&folder).unwrap();
    page::follow(text, &folder, &prefix, "cargo xtask install --prefix \"$PREFIX\"");

    let mut python = Command::new("python3");
    python.env("PYTHONPATH", prefix.join("lib/python3/dist-packages"));
    python.env("LD_LIBRARY_PATH", prefix.join("lib")).env("PYTHONDONTWRITEBYTECODE", "1");
    let said = succeeds(python.args(["-c", "import bumpless; print(bumpless.version())"]));
    assert_eq!(said.trim(), version);

    // As a package is made: the same prefix is written down, below another root.
    let root = scratch.0.join("root");
    install(&["--prefix", "/usr", "--destdir", root.to_str().unwrap()]);
    let told = std::fs::read_to_string(root.join("usr/lib/pkgconfig/bumpless.pc")).unwrap();
    assert!(told.contains("\nprefix=/usr\n"), "{told}");
}
