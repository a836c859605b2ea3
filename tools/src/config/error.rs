//! What is wrong with a configuration, and what is only odd.

use std::fmt;
use std::path::Path;

use crate::exit::Failure;

/// Where a value came from: the same key is written differently in a file and on a command line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Origin {
    /// A configuration file: `lan_a`, `supervision.last_byte`.
    File,
    /// The command line: `--lan-a`, `--supervision-last-byte`.
    CommandLine,
}

impl Origin {
    /// The key as the user wrote it.
    #[must_use]
    pub fn spell(self, key: &str) -> String {
        match self {
            Self::File => key.to_owned(),
            Self::CommandLine => {
                // Options leave the unit to their value's name.
                let key = key.strip_suffix("_s").unwrap_or(key);
                format!("--{}", key.replace(['_', '.'], "-"))
            }
        }
    }
}

/// One defect.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConfigError {
    /// The key as the user wrote it; empty for a file that is no TOML.
    pub key: String,
    /// What is wrong, with the value.
    pub message: String,
    /// What to write instead.
    pub remedy: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        write!(f, "{}; {}", self.message, self.remedy)
    }
}

impl std::error::Error for ConfigError {}

/// Every defect of a configuration, at least one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConfigErrors(pub Vec<ConfigError>);

impl ConfigErrors {
    /// As the end of a program: code 2, one line per defect, each headed by the file if there is
    /// one.
    #[must_use]
    pub fn into_failure(self, file: Option<&Path>) -> Failure {
        let head = file.map(|path| format!("{}: ", path.display())).unwrap_or_default();
        let lines: Vec<String> = self.0.iter().map(|error| format!("{head}{error}")).collect();
        Failure::usage(lines.join("\n"), "")
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&lines.join("\n"))
    }
}

impl std::error::Error for ConfigErrors {}

/// Something valid that is probably not meant, or costs something the user should know.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize)]
pub struct Warning {
    /// The key as the user wrote it.
    pub key: String,
    /// What follows from the value.
    pub message: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.key, self.message)
    }
}
