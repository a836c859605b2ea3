//! The bodies of the fuzz targets of a pair, on stable Rust: with the committed corpus, and with
//! what becomes of it when octets are changed.

#[path = "support/fuzz_pair.rs"]
mod fuzz_pair;

use std::fs;
use std::path::Path;

use fuzz_pair::TARGETS;

fn corpus(name: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(name);
    let entries = fs::read_dir(folder).expect("a corpus for each target");
    let inputs = entries.map(|it| it.expect("a readable folder").path());
    inputs.map(|path| fs::read(path).expect("a readable input")).collect()
}

#[test]
fn the_committed_corpus_passes() {
    for (name, body) in TARGETS {
        let inputs = corpus(name);
        assert!(!inputs.is_empty(), "no input for {name}");
        inputs.iter().for_each(|input| body(input));
    }
}

#[test]
fn changed_octets_pass() {
    let runs = if std::env::var_os("BUMPLESS_SOAK").is_some_and(|it| it == "1") { 50 } else { 1 };
    for (name, body) in TARGETS {
        let inputs = corpus(name);
        let mut state = 0x5eed_u64;
        // The generator of Knuth's MMIX: any sequence will do, and it has to be the same one.
        let mut draw = |below: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            usize::try_from(state >> 33).unwrap_or(0) % below.max(1)
        };
        for _ in 0..2_000 * runs {
            let mut octets = inputs[draw(inputs.len())].clone();
            for _ in 0..=draw(4) {
                let place = draw(octets.len());
                if let Some(octet) = octets.get_mut(place) {
                    *octet = u8::try_from(draw(256)).unwrap_or(0);
                }
            }
            body(&octets);
        }
    }
}
