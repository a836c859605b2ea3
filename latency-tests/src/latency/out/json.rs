//! The document as JSON.

use super::super::report::Report;

/// The document as text.
#[must_use]
pub fn write(report: &Report) -> String {
    serde_json::to_string(report).unwrap_or_default() + "\n"
}
