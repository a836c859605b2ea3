//! The bodies of the fuzz targets, on stable Rust: with the committed corpus and with seeded random
//! octets.

mod support;

use std::fs;
use std::path::Path;

use support::fuzz_bodies::TARGETS;
use support::{Random, or_soak};

#[test]
fn the_committed_corpus_passes() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus");
    for (name, body) in TARGETS {
        let mut inputs = 0;
        for entry in fs::read_dir(corpus.join(name)).expect("a corpus for each target") {
            let path = entry.expect("a readable folder").path();
            body(&fs::read(&path).expect("a readable input"));
            inputs += 1;
        }
        assert!(inputs > 0, "no input for {name}");
    }
}

#[test]
fn random_octets_pass() {
    for (_, body) in TARGETS {
        let mut random = Random(0x5eed);
        for _ in 0..or_soak(5_000) {
            let len = random.index(400);
            body(&random.octets(len));
        }
    }
}
