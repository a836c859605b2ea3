//! What is left of a run for other programs and for people.
//!
//! | Module | Holds |
//! |---|---|
//! | [`histogram_text`] | the table that cyclictest writes with `-h`, for scripts that plot it |
//! | [`json`] | a file that keeps all of it, and how such a file is read |

pub mod histogram_text;
pub mod json;
