//! See `pair_claimed` in `rt-core/tests/support/fuzz_pair.rs`.

#![no_main]

#[path = "../../rt-core/tests/support/fuzz_pair.rs"]
mod fuzz_pair;

libfuzzer_sys::fuzz_target!(|octets: &[u8]| fuzz_pair::pair_claimed(octets));
