//! How the shared library is linked: its SONAME, and that it stays once it is loaded.
//!
//! Its symbols carry no version of their own (`BUMPLESS_0`). A named version needs a version script
//! that names each symbol, and rustc hands the linker an anonymous one with the same symbols: GNU
//! ld refuses the two together, and LLD, which Rust uses by default on x86-64, lets the first one
//! win without a word. What a version script is for is kept otherwise: the SONAME's number changes
//! when programs would have to be compiled anew, symbols are only ever added, and which there are
//! stands in `bumpless.symbols`, which a test compares with the library.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-cdylib-link-arg=-Wl,-soname,libbumpless.so.0");
    // A thread of the library may be at work; code that was unmapped under it would be the end.
    println!("cargo::rustc-cdylib-link-arg=-Wl,-z,nodelete");
}
