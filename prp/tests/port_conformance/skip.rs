//! Skipping where something is missing.

/// Goes on, or prints what is missing and returns.
macro_rules! or_skip {
    ($test:literal, $result:expr) => {
        match $result {
            Ok(value) => value,
            Err(missing) => {
                println!("SKIP: {}: {missing}", $test);
                return;
            }
        }
    };
}
