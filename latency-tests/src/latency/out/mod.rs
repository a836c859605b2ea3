//! What is left of a run for other programs and for people.
//!
//! | Module | Holds |
//! |---|---|
//! | [`histogram_text`] | the table that cyclictest writes with `-h`, for scripts that plot it |
//! | [`hdr`] | a log of HdrHistogram, for its many readers |
//! | [`json`] | a file that keeps all of it, and how such a file is read |
//! | [`junit`] | test cases, for what shows them in a build |
//! | [`page`] | a page for a browser, whole in one file |
//! | [`picture`] | one picture, and the charts that both have |

pub mod hdr;
pub mod histogram_text;
pub mod json;
pub mod junit;
pub mod page;
pub mod picture;
