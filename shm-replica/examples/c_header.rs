//! Prints `bumpless.h`, made from the C interface's sources. `cargo xtask header` calls it.

use std::path::Path;
use std::process::ExitCode;

/// The sources, in the order in which the header has their contents.
const SOURCES: [&str; 7] = ["version", "code", "types", "setup", "cyclic", "query", "blocks"];

/// What stands before all of it: how to read it, its changes, its macros.
const FRONT: &str = include_str!("../include/front.h.in");

fn main() -> ExitCode {
    let home = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut config = match cbindgen::Config::from_file(home.join("cbindgen.toml")) {
        Ok(config) => config,
        Err(why) => return failed(&why),
    };
    config.after_includes = Some(FRONT.trim_end().to_owned());
    let mut builder = cbindgen::Builder::new().with_config(config);
    for source in SOURCES {
        builder = builder.with_src(home.join(format!("src/capi/{source}.rs")));
    }
    match builder.generate() {
        Ok(bindings) => {
            bindings.write(std::io::stdout());
            ExitCode::SUCCESS
        }
        Err(why) => failed(&why.to_string()),
    }
}

fn failed(why: &str) -> ExitCode {
    eprintln!("c_header: {why}");
    ExitCode::FAILURE
}
