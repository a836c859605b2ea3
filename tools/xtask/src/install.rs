//! `cargo xtask install`: what a user of the programs and of the library needs, where it belongs.
//!
//! The folders are those of the GNU coding standards, so that a package's build script says PREFIX
//! and DESTDIR and is done. (`cargo install` knows programs alone, cargo-c libraries alone.)

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use crate::Failure;
use crate::workspace::Workspace;

pub(crate) const HELP: &str = "\
cargo xtask install [--prefix DIR] [--destdir DIR] [--profile NAME]

Builds and installs below PREFIX (default /usr/local):
  bin/, sbin/                  bumpless, bumpless-latency, bumplessd
  lib/                         libbumpless.so.0 and its links, libbumpless.a, pkgconfig/bumpless.pc
  include/                     bumpless.h, bumpless.hpp
  lib/python3/dist-packages/   bumpless.py
  lib/systemd/, sysusers.d/, tmpfiles.d/   the service, its group and its folder
  share/man/, share/doc/bumpless/          pages, examples and a configuration
--destdir puts all of it below another root, as packages are made. --profile takes another profile
than release.
";

/// What is installed as it is: from the tree, to below the prefix.
const FILES: &[(&str, &str)] = &[
    ("shm-replica/include/bumpless.h", "include"),
    ("shm-replica/include/bumpless.hpp", "include"),
    ("shm-replica/python/bumpless.py", "lib/python3/dist-packages"),
    ("packaging/sysusers.d/bumpless.conf", "lib/sysusers.d"),
    ("packaging/tmpfiles.d/bumpless.conf", "lib/tmpfiles.d"),
    ("packaging/configs/danp.toml", "share/doc/bumpless"),
    ("docs/c-api.md", "share/doc/bumpless"),
];

/// Files that name where they are installed: from, to, and the text that stands for the prefix.
const PLACED: &[(&str, &str, &str)] = &[
    ("shm-replica/bumpless.pc", "lib/pkgconfig", "/usr/local"),
    ("packaging/systemd/bumplessd@.service", "lib/systemd/system", "/usr"),
];

/// Programs, and their folders.
const PROGRAMS: &[(&str, &str)] =
    &[("bumpless", "bin"), ("bumpless-latency", "bin"), ("bumplessd", "sbin")];

/// The library: its name in the build folder, and by which names it is found.
const LIBRARY: &str = "libbumpless.so";
const SONAME: &str = "libbumpless.so.0";

const EXAMPLES: &str = "shm-replica/examples/c/";

/// Where to.
#[derive(PartialEq, Eq, Debug)]
struct Plan {
    prefix: String,
    destdir: PathBuf,
    profile: String,
}

impl Plan {
    fn parse(arguments: &[String]) -> Result<Self, Failure> {
        let mut plan = Self {
            prefix: "/usr/local".to_owned(),
            destdir: PathBuf::new(),
            profile: "release".to_owned(),
        };
        let mut rest = arguments.iter();
        while let Some(option) = rest.next() {
            let Some(value) = rest.next() else {
                return Err(Failure::Usage(format!("{option} needs a value\n\n{HELP}")));
            };
            match option.as_str() {
                "--prefix" => plan.prefix = value.trim_end_matches('/').to_owned(),
                "--destdir" => plan.destdir = PathBuf::from(value),
                "--profile" => plan.profile.clone_from(value),
                _ => return Err(Failure::Usage(format!("install knows no {option}\n\n{HELP}"))),
            }
        }
        if !plan.prefix.starts_with('/') {
            return Err(Failure::Usage("--prefix is a path from the root".to_owned()));
        }
        Ok(plan)
    }

    /// A folder below the prefix, as a file's path now.
    fn folder(&self, below: &str) -> Result<PathBuf, Failure> {
        let mut path = self.destdir.clone().into_os_string();
        path.push(&self.prefix);
        let path = Path::new(&path).join(below);
        fs::create_dir_all(&path).map_err(cannot(&path))?;
        Ok(path)
    }

    /// Writes one file.
    fn put(&self, octets: &[u8], below: &str, name: &str, mode: u32) -> Result<PathBuf, Failure> {
        let path = self.folder(below)?.join(name);
        // A new file: a program that runs from the old one keeps it.
        let fresh = path.with_file_name(format!(".{name}.new"));
        fs::write(&fresh, octets).map_err(cannot(&fresh))?;
        fs::set_permissions(&fresh, fs::Permissions::from_mode(mode)).map_err(cannot(&fresh))?;
        fs::rename(&fresh, &path).map_err(cannot(&path))?;
        say!("{}", path.display());
        Ok(path)
    }

    fn copy(&self, from: &Path, below: &str, mode: u32) -> Result<PathBuf, Failure> {
        let octets = fs::read(from).map_err(cannot(from))?;
        let name = from.file_name().unwrap_or_default().to_string_lossy();
        self.put(&octets, below, &name, mode)
    }
}

fn cannot(what: &Path) -> impl Fn(std::io::Error) -> Failure {
    let what = what.display().to_string();
    move |error| Failure::Cannot(format!("{what}: {error}"))
}

/// Builds and installs.
pub(crate) fn command(arguments: &[String]) -> Result<(), Failure> {
    let plan = Plan::parse(arguments)?;
    let workspace = Workspace::find()?;
    let mut what = vec!["build", "--package", "shm-replica", "--lib"];
    what.extend(["--package", "tools", "--package", "latency-tests"]);
    what.extend(PROGRAMS.iter().flat_map(|(name, _)| ["--bin", *name]));
    let build = workspace
        .cargo(&what)
        .args(["--profile", &plan.profile])
        .status()
        .map_err(|error| Failure::Cannot(format!("cargo build: {error}")))?;
    if !build.success() {
        return Err(Failure::Failed);
    }
    let built = workspace.target_folder()?.join(&plan.profile);
    for (name, folder) in PROGRAMS {
        plan.copy(&built.join(name), folder, 0o755)?;
    }
    library(&plan, &built)?;
    files(&plan, &workspace)
}

fn library(plan: &Plan, built: &Path) -> Result<(), Failure> {
    plan.copy(&built.join("libbumpless.a"), "lib", 0o644)?;
    let octets = fs::read(built.join(LIBRARY)).map_err(cannot(&built.join(LIBRARY)))?;
    let full = format!("{LIBRARY}.{}", env!("CARGO_PKG_VERSION"));
    plan.put(&octets, "lib", &full, 0o644)?;
    for (link, to) in [(SONAME, full.as_str()), (LIBRARY, SONAME)] {
        let path = plan.folder("lib")?.join(link);
        let _absent = fs::remove_file(&path);
        symlink(to, &path).map_err(cannot(&path))?;
        say!("{} -> {to}", path.display());
    }
    Ok(())
}

fn files(plan: &Plan, workspace: &Workspace) -> Result<(), Failure> {
    for (from, below) in FILES {
        plan.copy(&workspace.root.join(from), below, 0o644)?;
    }
    for (from, below, stands_for) in PLACED {
        let text = placed(&workspace.read(from)?, stands_for, &plan.prefix);
        let name = Path::new(from).file_name().unwrap_or_default().to_string_lossy();
        plan.put(text.as_bytes(), below, &name, 0o644)?;
    }
    for file in workspace.files()? {
        let path = workspace.root.join(&file);
        if let Some(example) = file.strip_prefix(EXAMPLES) {
            let folder = Path::new(example).parent().unwrap_or_else(|| Path::new(""));
            let below = Path::new("share/doc/bumpless/examples").join(folder);
            plan.copy(&path, &below.to_string_lossy(), 0o644)?;
        } else if let Some((_, section)) =
            file.strip_prefix("docs/man/").and_then(|page| page.rsplit_once('.'))
        {
            plan.copy(&path, &format!("share/man/man{section}"), 0o644)?;
        }
    }
    Ok(())
}

/// A text with the prefix where it belongs: in lines that say where something is.
fn placed(text: &str, stands_for: &str, prefix: &str) -> String {
    let place = |line: &str| match line.split_once('=') {
        Some((key @ ("prefix" | "ExecStart"), value)) => match value.strip_prefix(stands_for) {
            Some(rest) => format!("{key}={prefix}{rest}\n"),
            None => format!("{line}\n"),
        },
        _ => format!("{line}\n"),
    };
    text.lines().map(place).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(arguments: &[&str]) -> Result<Plan, Failure> {
        let arguments: Vec<String> = arguments.iter().map(|&it| it.to_owned()).collect();
        Plan::parse(&arguments)
    }

    #[test]
    fn options_say_where_to() {
        let found = plan(&["--prefix", "/usr/", "--destdir", "/tmp/x"]).unwrap();
        assert_eq!((found.prefix.as_str(), found.destdir.as_path()), ("/usr", Path::new("/tmp/x")));
        assert_eq!(plan(&[]).unwrap().prefix, "/usr/local");
        for wrong in [&["--prefix"][..], &["--prefix", "usr"], &["--force", "1"]] {
            assert!(matches!(plan(wrong), Err(Failure::Usage(_))), "{wrong:?}");
        }
    }

    #[test]
    fn the_prefix_is_put_where_it_belongs_and_nowhere_else() {
        let text = "prefix=/usr/local\nlibdir=${prefix}/lib\n# prefix=/usr/local\n";
        assert_eq!(
            placed(text, "/usr/local", "/opt/b"),
            "prefix=/opt/b\nlibdir=${prefix}/lib\n# prefix=/usr/local\n"
        );
        let unit = "ExecStart=/usr/sbin/bumplessd --config /etc/x\n";
        assert_eq!(
            placed(unit, "/usr", "/opt/b"),
            "ExecStart=/opt/b/sbin/bumplessd --config /etc/x\n"
        );
    }
}
