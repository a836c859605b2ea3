//! The claims of bumpless, put to the test.
