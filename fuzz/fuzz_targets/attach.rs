//! See `attach` in `shm-replica/tests/support/fuzz_attach.rs`.

#![no_main]

#[path = "../../shm-replica/tests/support/mod.rs"]
mod support;

libfuzzer_sys::fuzz_target!(|octets: &[u8]| support::fuzz_bodies::attach(octets));
