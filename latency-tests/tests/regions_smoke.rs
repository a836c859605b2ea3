//! A tiny run of the regions' speed bench counts every image and writes a folder that can be read
//! again.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::process::Command;

use latency_tests::bench::regions::SIZES;
use latency_tests::bench::regions::round::Contestant;
use latency_tests::bench::report::Results;

#[test]
fn a_tiny_run_between_two_processes_verifies_and_counts_every_image() {
    let folder =
        std::env::temp_dir().join(format!("bumpless-bench-regions-{}", std::process::id()));
    let output = Command::new(env!("CARGO_BIN_EXE_bumpless-bench"))
        .args(["regions", "--rounds", "2", "--round-ms", "50", "--rig", "tiny", "--results"])
        .arg(&folder)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    // Aims may be missed (1, with the page); everything else would be a defect of the bench.
    assert!(matches!(output.status.code(), Some(0 | 1)), "{:?}: {said}", output.status);
    let written: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap()).collect();
    assert_eq!(written.len(), 1, "{written:?}");
    let page = fs::read_to_string(written[0].path().join("report.md")).unwrap();
    let json = fs::read_to_string(written[0].path().join("results.json")).unwrap();
    let found: Results = serde_json::from_str(&json).unwrap();
    assert_eq!(found.page(), page);
    let regions = found.regions.unwrap();
    assert!(regions.line_pass_ns.min > 0.0);
    for contestant in [Contestant::Line, Contestant::Ring] {
        let ways: Vec<_> =
            regions.ways.iter().filter(|way| way.contestant == contestant.name()).collect();
        assert_eq!(ways.len(), 2 * SIZES.len(), "every size, polling and woken");
        for way in ways {
            let seen = &way.observed;
            assert_eq!((seen.torn, seen.wrong, seen.missing), (0, 0, 0), "{way:?}");
            assert_eq!(seen.images + seen.skipped, way.images, "{way:?}");
            assert_eq!(seen.times.count(), way.images, "each has a time, seen or skipped: {way:?}");
            assert!(seen.images > 0 && way.median_ns.min > 0.0, "{way:?}");
        }
    }
    // A gather of 16 blocks needs more than 64 octets.
    let ways: Vec<usize> = regions.commits.iter().map(|commit| commit.ways.len()).collect();
    assert_eq!(ways, [3, 4, 4, 4]);
    let ways = regions.commits.iter().flat_map(|commit| &commit.ways);
    assert!(ways.into_iter().all(|way| way.ratio.min > 0.0));
    fs::remove_dir_all(folder).unwrap();
}
