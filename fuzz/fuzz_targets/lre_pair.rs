//! See `lre_pair` in `prp/tests/support/fuzz_bodies.rs`.

#![no_main]

#[path = "../../prp/tests/support/mod.rs"]
mod support;

libfuzzer_sys::fuzz_target!(|octets: &[u8]| support::fuzz_bodies::lre_pair(octets));
