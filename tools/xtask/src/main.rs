//! The project's own build commands: `cargo xtask test`, `check`, `demo`, `soak`, `bench`.

fn main() {}
