//! How every program of the project ends: one table of exit codes, one error that carries a code,
//! what is wrong, and what to do about it.
//!
//! Scripts branch on these codes, so they stand in one place and no `main` invents its own.

use std::fmt;
use std::io::{self, Write};
use std::process;

/// The exit codes of every program.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum ExitCode {
    /// All went well.
    Fine = 0,
    /// Failed at run time, or a threshold was exceeded.
    Failed = 1,
    /// Bad arguments or configuration; the message names the key.
    Usage = 2,
    /// A privilege or a kernel feature is missing; the message names it and the remedy.
    Missing = 3,
    /// A measurement that is invalid.
    Invalid = 4,
}

impl From<ExitCode> for process::ExitCode {
    fn from(code: ExitCode) -> Self {
        Self::from(code as u8)
    }
}

/// Why a program ends early: the code, what is wrong (one or more lines), and the remedy.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure {
    /// The exit code.
    pub code: ExitCode,
    /// What is wrong, naming the thing. Several defects stand on a line each.
    pub message: String,
    /// What to do about it; empty when the message says it already.
    pub remedy: String,
}

impl Failure {
    /// A failure with this code.
    #[must_use]
    pub fn new(code: ExitCode, message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { code, message: message.into(), remedy: remedy.into() }
    }

    /// Failed at run time.
    #[must_use]
    pub fn failed(message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::new(ExitCode::Failed, message, remedy)
    }

    /// Bad arguments or configuration.
    #[must_use]
    pub fn usage(message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::new(ExitCode::Usage, message, remedy)
    }

    /// A privilege or a kernel feature is missing.
    #[must_use]
    pub fn missing(message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::new(ExitCode::Missing, message, remedy)
    }

    /// Writes the failure to stderr, each line headed by the program's name, and gives the code to
    /// end with. A stderr that is closed changes nothing.
    #[must_use]
    pub fn report(&self, program: &str) -> process::ExitCode {
        let mut stderr = io::stderr().lock();
        for line in self.to_string().lines() {
            let _ = writeln!(stderr, "{program}: {line}");
        }
        self.code.into()
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        if self.remedy.is_empty() { Ok(()) } else { write!(f, "; {}", self.remedy) }
    }
}

impl std::error::Error for Failure {}

/// Ends a program: `main` returns what this gives.
#[must_use]
pub fn end(program: &str, result: Result<ExitCode, Failure>) -> process::ExitCode {
    match result {
        Ok(code) => code.into(),
        Err(failure) => failure.report(program),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_those_that_scripts_know() {
        let codes = [
            ExitCode::Fine,
            ExitCode::Failed,
            ExitCode::Usage,
            ExitCode::Missing,
            ExitCode::Invalid,
        ];
        assert_eq!(codes.map(|code| code as u8), [0, 1, 2, 3, 4]);
    }

    #[test]
    fn a_failure_says_what_is_wrong_and_what_to_do() {
        let failure = Failure::usage("lan_b: eth1 is lan_a too", "name the NIC of the other LAN");
        assert_eq!(failure.to_string(), "lan_b: eth1 is lan_a too; name the NIC of the other LAN");
        assert_eq!(Failure::failed("gone", "").to_string(), "gone");
    }
}
