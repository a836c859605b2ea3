//! What all tests in network namespaces share.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(dead_code, reason = "shared by test files that use different parts")]

use std::thread::sleep;
use std::time::Duration;

use latency_tests::os::clock;
use prp::os::netns::NetNs;

/// Longer than anything here takes on a machine that is busy with other things.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Whether this process may make namespaces; says so when the test named `test` has to be skipped.
pub(crate) fn can_run(test: &str) -> bool {
    let made = NetNs::create();
    if let Err(error) = &made {
        println!("SKIP: {test}: {error}");
    }
    made.is_ok()
}

/// Whether the long form was asked for.
pub(crate) fn soak() -> bool {
    std::env::var_os("BUMPLESS_SOAK").is_some_and(|value| value == "1")
}

/// Asks again and again until there is an answer, a bounded time.
pub(crate) fn wait_within<T>(
    patience: Duration,
    what: &str,
    mut answer: impl FnMut() -> Option<T>,
) -> T {
    let start = clock::now();
    loop {
        if let Some(answer) = answer() {
            return answer;
        }
        let waited = Duration::from_nanos(clock::now().since(start).as_nanos());
        assert!(waited < patience, "waited {waited:?} for {what}");
        sleep(Duration::from_millis(5));
    }
}

/// As [`wait_within`], with all patience.
pub(crate) fn wait_until<T>(what: &str, answer: impl FnMut() -> Option<T>) -> T {
    wait_within(PATIENCE, what, answer)
}
