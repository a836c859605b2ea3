//! The project's other programs: beside this one, or where cargo puts them for a test.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::NetLabError;

/// Where programs are.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Programs {
    paths: BTreeMap<String, PathBuf>,
}

impl Programs {
    /// Finds each of `names` in the folder of the running program, and in `sbin` beside it where
    /// that is `bin`; when it is a folder `deps` or `examples` of cargo's, in the one above.
    ///
    /// # Errors
    /// [`NetLabError::Missing`] with all that are not there and the command that builds them.
    pub fn find(names: &[&str]) -> Result<Self, NetLabError> {
        let own = std::env::current_exe()
            .map_err(NetLabError::io("cannot tell where the running program is"))?;
        Self::find_beside(&own, names)
    }

    fn find_beside(own: &Path, names: &[&str]) -> Result<Self, NetLabError> {
        let folder = own.parent().unwrap_or_else(|| Path::new("/"));
        let mut folders = vec![folder];
        // Where they are installed, daemons lie in a folder of their own.
        let daemons = folder.with_file_name("sbin");
        if folder.ends_with("bin") {
            folders.push(&daemons);
        }
        if folder.ends_with("deps") || folder.ends_with("examples") {
            // Above first: what lies beside a test may be a test binary of the same name.
            folders = folder.parent().into_iter().collect();
        }
        let find = |name: &str| folders.iter().map(|f| f.join(name)).find(|path| path.is_file());
        let mut paths = BTreeMap::new();
        let mut missing = Vec::new();
        for &name in names {
            match find(name) {
                Some(path) => drop(paths.insert(name.to_owned(), path)),
                None => missing.push(name.to_owned()),
            }
        }
        if missing.is_empty() {
            return Ok(Self { paths });
        }
        let texts: Vec<_> = folders.iter().map(|folder| folder.display().to_string()).collect();
        let profile = folders.first().and_then(|folder| folder.file_name()?.to_str());
        let profile = match profile {
            Some("debug") | None => String::new(),
            Some("release") => " --release".to_owned(),
            Some(profile) => format!(" --profile {profile}"),
        };
        Err(NetLabError::Missing { missing, folders: texts.join(" and "), profile })
    }

    /// The program called `name`.
    ///
    /// # Errors
    /// [`NetLabError::Plan`] when it was not among those asked for.
    pub fn path(&self, name: &str) -> Result<&Path, NetLabError> {
        let path = self.paths.get(name).map(PathBuf::as_path);
        path.ok_or_else(|| NetLabError::Plan(format!("program {name} was not looked for")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named_with_the_command_that_builds_it() {
        let scratch = super::super::Scratch::new().unwrap();
        let checked = scratch.path().join("checked");
        std::fs::create_dir_all(checked.join("deps")).unwrap();
        std::fs::write(checked.join("one"), "").unwrap();
        let test = checked.join("deps/some_test-0123");
        let found = Programs::find_beside(&test, &["one"]).unwrap();
        assert_eq!(found.path("one").unwrap(), checked.join("one"));
        assert!(found.path("two").is_err());
        let beside = Programs::find_beside(&checked.join("zero"), &["one"]);
        assert_eq!(beside.unwrap(), found);
        let error = Programs::find_beside(&test, &["one", "two", "three"]).unwrap_err();
        let text = error.to_string();
        assert!(text.starts_with("cannot find two, three, looked in /"), "{text}");
        assert!(text.ends_with("cargo build --workspace --bins --profile checked`"), "{text}");
    }
}
