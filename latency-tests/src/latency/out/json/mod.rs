//! A result as a file: written so that it can be read by eye, and read as what a stranger sent.
//!
//! Short parts stand on lines of their own, long ones (buckets, peaks, rows) on one line each, so
//! that `diff` and a pager stay useful beside ten thousand samples.
//!
//! What is read is bounded, and checked for what it says against itself: a table or a time-out must
//! not rest on figures of which one of two is wrong. What is merely unusual is taken.
//!
//! | Module | Holds |
//! |---|---|
//! | `check` | do the figures agree with each other? |
//! | `layout` | where a line ends |

mod check;
mod layout;

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use tools::exit::Failure;

use crate::latency::report::{PROGRAM, Report, SCHEMA};

/// The largest file that is read, in octets. A run of 64 threads takes about half of it.
pub const OCTETS_MAX: usize = 64 * 1024 * 1024;

/// Why a file is not taken for a result.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ReadError {
    /// More octets than are read.
    #[error("{octets} octets: a result has at most {OCTETS_MAX}")]
    TooLarge {
        /// How many there are.
        octets: usize,
    },
    /// Not a JSON document, or one that was cut.
    #[error("not a JSON document: {0}")]
    NotJson(String),
    /// A document of something else.
    #[error("not a result of {PROGRAM}: {0}")]
    Other(String),
    /// A document of another version of this program.
    #[error("schema {found}: this program reads {SCHEMA}; use the version that wrote it")]
    Schema {
        /// The version of its shape.
        found: u64,
    },
    /// A key is missing, or holds something of another kind.
    #[error("not as schema {SCHEMA} has it: {0}")]
    Shape(String),
    /// Two figures that cannot both be right.
    #[error("{place}: {what}; the file was changed or is damaged")]
    Contradiction {
        /// Where in the document.
        place: String,
        /// Which figures, and what they say.
        what: String,
    },
}

/// The first look at a document.
#[derive(Deserialize)]
struct Head {
    #[serde(default)]
    schema: Option<u64>,
    #[serde(default)]
    program: Option<String>,
}

/// The document's text, with a newline at its end. Thread: any; allocates about twice its size.
#[must_use]
pub fn write(report: &Report) -> String {
    text(report)
}

/// The text of any document of ours, laid out as that of a result.
#[must_use]
pub fn text(document: &impl Serialize) -> String {
    // Keys are texts and nothing here fails by itself, so there is a text.
    let flat = serde_json::to_string(document).unwrap_or_else(|_| "null".to_owned());
    layout::lay_out(&flat)
}

/// Reads a document from a file.
///
/// # Errors
/// Usage: the file cannot be read, or is none.
pub fn read_file(path: &Path) -> Result<Report, Failure> {
    let failed = |why: &dyn std::fmt::Display| {
        Failure::usage(format!("{}: {why}", path.display()), "name a file that --json FILE wrote")
    };
    let mut octets = Vec::new();
    let file = File::open(path).map_err(|error| failed(&error))?;
    let most = OCTETS_MAX as u64 + 1;
    file.take(most).read_to_end(&mut octets).map_err(|error| failed(&error))?;
    read(&octets).map_err(|error| failed(&error))
}

/// Reads a document that came from anywhere.
///
/// # Errors
/// See [`ReadError`].
pub fn read(octets: impl AsRef<[u8]>) -> Result<Report, ReadError> {
    let octets = octets.as_ref();
    if octets.len() > OCTETS_MAX {
        return Err(ReadError::TooLarge { octets: octets.len() });
    }
    let not_json = |error: serde_json::Error| ReadError::NotJson(error.to_string());
    serde_json::from_slice::<IgnoredAny>(octets).map_err(not_json)?;
    let head: Head = serde_json::from_slice(octets)
        .map_err(|_| ReadError::Other("it does not say which program wrote it".to_owned()))?;
    match (head.program.as_deref(), head.schema) {
        (Some(PROGRAM), Some(schema)) if schema == u64::from(SCHEMA) => {}
        (Some(PROGRAM), Some(found)) => return Err(ReadError::Schema { found }),
        (Some(PROGRAM), None) => return Err(ReadError::Other("it has no schema".to_owned())),
        (Some(other), _) => {
            let other: String = other.chars().take(64).collect();
            return Err(ReadError::Other(format!("the program is {other:?}")));
        }
        (None, _) => {
            return Err(ReadError::Other("it does not say which program wrote it".to_owned()));
        }
    }
    let report: Report =
        serde_json::from_slice(octets).map_err(|error| ReadError::Shape(error.to_string()))?;
    check::report(&report)?;
    Ok(report)
}
