//! What a group of tests came to, read from the output of `cargo test`.
//!
//! A test that cannot run here prints `SKIP: <test>: <what is missing>` and returns; to cargo it
//! has passed. Here it counts as skipped, and only as that.

use std::collections::BTreeSet;

/// A test that could not run.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Skip {
    /// Which.
    pub(crate) test: String,
    /// What it lacked.
    pub(crate) missing: String,
}

impl Skip {
    /// Whether the first word of what is missing is among `allowed`.
    pub(crate) fn is_allowed(&self, allowed: &[String]) -> bool {
        let first = self
            .missing
            .split(|c: char| !c.is_ascii_alphanumeric())
            .find(|word| !word.is_empty())
            .unwrap_or_default();
        allowed.iter().any(|word| word.eq_ignore_ascii_case(first))
    }
}

/// Counts of one group, fed line by line.
#[derive(Default, Debug)]
pub(crate) struct Tally {
    passed: usize,
    failed: usize,
    ignored: usize,
    /// What was skipped and why.
    pub(crate) skips: BTreeSet<Skip>,
    /// Names of the tests that failed.
    pub(crate) failures: BTreeSet<String>,
    in_list_of_failures: bool,
}

impl Tally {
    /// Takes one line of output. `true` when a reader of a passing group wants to see it.
    pub(crate) fn feed(&mut self, line: &str) -> bool {
        if let Some(rest) = line.strip_prefix("test result: ") {
            // Nothing is filtered here, so this is a test binary that a test of ours started, to
            // see it abort or to run in a process of its own. The outer test judges it.
            if count(rest, "filtered") > 0 {
                return false;
            }
            self.passed += count(rest, "passed");
            self.failed += count(rest, "failed");
            self.ignored += count(rest, "ignored");
            self.in_list_of_failures = false;
            return true;
        }
        if let Some(skip) = skip_in(line) {
            self.skips.insert(skip);
            return true;
        }
        let line_of_cargo = line.trim_start();
        if line_of_cargo.starts_with("Running ") || line_of_cargo.starts_with("Doc-tests ") {
            return line_of_cargo != line;
        }
        if line == "failures:" {
            self.in_list_of_failures = true;
        } else if self.in_list_of_failures
            && let Some(name) = line.strip_prefix("    ")
            && !name.contains(' ')
        {
            self.failures.insert(name.to_owned());
        }
        false
    }

    /// Counts a failure that no test reported.
    pub(crate) fn fail(&mut self, what: &str) {
        self.failed += 1;
        self.failures.insert(what.to_owned());
    }

    /// Counts something that passed without being a cargo test.
    pub(crate) fn pass(&mut self) {
        self.passed += 1;
    }

    /// Tests that ran to their end and found nothing wrong.
    pub(crate) fn passed(&self) -> usize {
        self.passed.saturating_sub(self.skipped_by_themselves())
    }

    /// Tests that found something wrong.
    pub(crate) fn failed(&self) -> usize {
        self.failed
    }

    /// Tests that did not run.
    pub(crate) fn skipped(&self) -> usize {
        self.skipped_by_themselves() + self.ignored
    }

    fn skipped_by_themselves(&self) -> usize {
        self.skips.iter().map(|skip| &skip.test).collect::<BTreeSet<_>>().len()
    }
}

/// The number before `word` in `ok. 3 passed; 0 failed; …`.
fn count(result: &str, word: &str) -> usize {
    result
        .split([';', '.'])
        .filter_map(|part| part.trim().split_once(' '))
        .find(|(_, what)| what.split(' ').next() == Some(word))
        .and_then(|(number, _)| number.parse().ok())
        .unwrap_or(0)
}

/// Finds a skip at the start of a line, or behind `test NAME ... ` where one thread runs all.
fn skip_in(line: &str) -> Option<Skip> {
    let text = match line.split_once(" ... ") {
        Some((test, rest)) if test.starts_with("test ") => rest,
        _ => line,
    };
    let (test, missing) = text.strip_prefix("SKIP: ")?.split_once(": ")?;
    Some(Skip { test: test.to_owned(), missing: missing.trim().to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(output: &str) -> Tally {
        let mut tally = Tally::default();
        for line in output.lines() {
            tally.feed(line);
        }
        tally
    }

    #[test]
    fn results_of_several_binaries_add_up() {
        let tally = tally(
            "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; \
             finished in 0.12s\n\
             failures:\n\n---- a::b stdout ----\nsome words here\n\nfailures:\n    a::b\n\n\
             test result: FAILED. 10 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out",
        );
        assert_eq!((tally.passed(), tally.failed(), tally.skipped()), (13, 1, 1));
        assert_eq!(tally.failures.iter().collect::<Vec<_>>(), ["a::b"]);
    }

    #[test]
    fn a_test_binary_started_by_a_test_does_not_count() {
        let tally = tally(
            "test result: FAILED. 0 passed; 1 failed; 0 ignored; 0 measured; 2 filtered out\n\
             test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; f",
        );
        assert_eq!((tally.passed(), tally.failed()), (3, 0));
    }

    #[test]
    fn a_skipped_test_has_not_passed() {
        let tally = tally(
            "test one ... SKIP: one: root, for a network namespace\nok\n\
             SKIP: two: kvm\nSKIP: two: kvm, again\n\
             test result: ok. 3 passed; 0 failed; 0 ignored",
        );
        assert_eq!((tally.passed(), tally.failed(), tally.skipped()), (1, 0, 2));
    }

    #[test]
    fn only_what_is_named_may_be_skipped() {
        let allowed = ["kvm".to_owned(), "hardware".to_owned()];
        let skip = |missing: &str| Skip { test: "t".into(), missing: missing.into() };
        assert!(skip("KVM (/dev/kvm cannot be opened)").is_allowed(&allowed));
        assert!(skip("hardware: a second network card").is_allowed(&allowed));
        assert!(!skip("root, for hardware access").is_allowed(&allowed));
        assert!(!skip("").is_allowed(&allowed));
    }

    #[test]
    fn words_about_skipping_are_no_skip() {
        assert!(skip_in("note: SKIP: x: y is what a test prints").is_none());
        assert!(skip_in("SKIP: nothing said").is_none());
    }
}
