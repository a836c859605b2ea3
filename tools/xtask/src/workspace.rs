//! Where things are: the workspace's folder, its packages, its files, its build output.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Failure;

/// The profile that checks and tests build in: the release's speed, every assertion on. Lints and
/// documentation use it too, so that build scripts and macros are compiled once.
pub(crate) const PROFILE: &str = "checked";

/// The workspace on disk.
#[derive(Debug)]
pub(crate) struct Workspace {
    /// Its top folder.
    pub(crate) root: PathBuf,
}

/// A package of the tree, member of the workspace or not (fuzz targets are not).
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Package {
    /// Its folder below the root, with `/` between parts.
    pub(crate) folder: String,
    /// The text of its manifest.
    pub(crate) manifest: String,
}

impl Workspace {
    /// Finds the workspace that this program belongs to.
    pub(crate) fn find() -> Result<Self, Failure> {
        // At run time when cargo runs us: a build folder may be shared or moved.
        let own = std::env::var_os("CARGO_MANIFEST_DIR")
            .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
        let root = own
            .ancestors()
            .nth(2)
            .filter(|root| root.join("Cargo.lock").is_file())
            .ok_or_else(|| Failure::Cannot(format!("no workspace above {}", own.display())))?;
        Ok(Self { root: root.to_path_buf() })
    }

    /// A cargo command that runs in the root, without what the cargo that runs us told us about
    /// ourselves.
    pub(crate) fn cargo(&self, arguments: &[&str]) -> Command {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = Command::new(cargo);
        command.args(arguments).current_dir(&self.root);
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
                command.env_remove(&name);
            }
        }
        command
    }

    /// The folder that cargo builds into, as cargo itself says.
    pub(crate) fn target_folder(&self) -> Result<PathBuf, Failure> {
        let output = self
            .cargo(&["metadata", "--no-deps", "--format-version", "1"])
            .output()
            .map_err(|e| Failure::Cannot(format!("cargo metadata: {e}")))?;
        let text = String::from_utf8_lossy(&output.stdout);
        json_string(&text, "target_directory").map(PathBuf::from).ok_or_else(|| {
            let why = String::from_utf8_lossy(&output.stderr);
            Failure::Cannot(format!("cargo metadata names no build folder: {}", why.trim()))
        })
    }

    /// Every file of the tree by its path below the root, sorted; build output, version control and
    /// what fuzzing found excepted.
    pub(crate) fn files(&self) -> Result<Vec<String>, Failure> {
        let mut found = Vec::new();
        let mut folders = vec![String::new()];
        while let Some(folder) = folders.pop() {
            let path = self.root.join(&folder);
            let entries = fs::read_dir(&path)
                .map_err(|e| Failure::Cannot(format!("{}: {e}", path.display())))?;
            for entry in entries.flatten() {
                let name = entry.file_name().to_string_lossy().into_owned();
                let below =
                    if folder.is_empty() { name.clone() } else { format!("{folder}/{name}") };
                match entry.file_type() {
                    Ok(kind) if kind.is_dir() && !is_foreign(&entry.path(), &name) => {
                        folders.push(below);
                    }
                    Ok(kind) if kind.is_file() => found.push(below),
                    _ => {}
                }
            }
        }
        found.sort();
        Ok(found)
    }

    /// The text of one file.
    pub(crate) fn read(&self, file: &str) -> Result<String, Failure> {
        let bytes =
            fs::read(self.root.join(file)).map_err(|e| Failure::Cannot(format!("{file}: {e}")))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Every package among `files`.
    pub(crate) fn packages(&self, files: &[String]) -> Result<Vec<Package>, Failure> {
        let mut packages = Vec::new();
        for file in files {
            let Some(folder) = file.strip_suffix("/Cargo.toml") else { continue };
            let manifest = self.read(file)?;
            if manifest.lines().any(|line| line.trim() == "[package]") {
                packages.push(Package { folder: folder.to_owned(), manifest });
            }
        }
        Ok(packages)
    }

    /// The folders of the workspace's members.
    pub(crate) fn members(&self) -> Result<Vec<String>, Failure> {
        Ok(members_of(&self.read("Cargo.toml")?))
    }
}

/// Whether a folder holds nothing that people wrote here. Cargo marks its build folders.
fn is_foreign(path: &Path, name: &str) -> bool {
    let hidden = name.starts_with('.') && name != ".ci" && name != ".cargo";
    hidden || name == "target" || name == "corpus" || path.join("CACHEDIR.TAG").exists()
}

/// The quoted strings of the manifest's `members` list.
fn members_of(manifest: &str) -> Vec<String> {
    let list = manifest.split_once("members = [").and_then(|(_, rest)| rest.split_once(']'));
    let Some((list, _)) = list else { return Vec::new() };
    list.split('"').skip(1).step_by(2).map(str::to_owned).collect()
}

/// The first string value of `key` in a JSON text. Enough for a path that holds no quote.
fn json_string(text: &str, key: &str) -> Option<String> {
    let (_, rest) = text.split_once(&format!("\"{key}\":\""))?;
    rest.split_once('"').map(|(value, _)| value.replace("\\\\", "\\"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_read_from_the_manifest() {
        let manifest = "[workspace]\nmembers = [\n    \"a\",\n    \"b/c\",\n]\n\"no\"";
        assert_eq!(members_of(manifest), ["a", "b/c"]);
        assert!(members_of("[workspace]").is_empty());
    }

    #[test]
    fn a_value_is_found_in_json() {
        let text = r#"{"packages":[],"target_directory":"/x/target","version":1}"#;
        assert_eq!(json_string(text, "target_directory").as_deref(), Some("/x/target"));
        assert_eq!(json_string(text, "absent"), None);
    }

    #[test]
    fn the_tree_is_walked_without_build_output() {
        let workspace = Workspace::find().unwrap();
        let files = workspace.files().unwrap();
        assert!(files.iter().any(|f| f == "tools/xtask/src/main.rs"));
        assert!(!files.iter().any(|f| f.starts_with("target/") || f.starts_with(".git/")));
        let packages = workspace.packages(&files).unwrap();
        for member in workspace.members().unwrap() {
            assert!(packages.iter().any(|p| p.folder == member), "{member}");
        }
    }
}
