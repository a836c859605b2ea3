//! A tiny run of the speed bench writes a folder that can be read again.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;
use std::process::Command;

use latency_tests::bench::lre_cost::NODES;
use latency_tests::bench::report::Results;
use prp::os::netns::NetNs;

#[test]
fn a_tiny_run_writes_a_folder_that_can_be_read_again() {
    let test = "a_tiny_run_writes_a_folder_that_can_be_read_again";
    let bench = Path::new(env!("CARGO_BIN_EXE_bumpless-bench"));
    if let Err(error) = NetNs::create() {
        println!("SKIP: {test}: {error}");
        return;
    }
    for program in ["tc", "ip"] {
        if Command::new(program).arg("-V").output().is_err() {
            println!("SKIP: {test}: {program} (install iproute2)");
            return;
        }
    }
    if !bench.with_file_name("bumplessd").exists() {
        println!("SKIP: {test}: bumplessd is not built (cargo build --bins)");
        return;
    }
    let folder = std::env::temp_dir().join(format!("bumpless-bench-test-{}", std::process::id()));
    let small = "--rounds 2 --round-ms 100 --pings 100 --frames 1000 --no-instructions --rig a/b";
    let output = Command::new(bench)
        .args(small.split_whitespace())
        .arg("--results")
        .arg(&folder)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    // Aims may be missed (1, with the page); everything else would be a defect of the bench.
    assert!(matches!(output.status.code(), Some(0 | 1)), "{:?}: {said}", output.status);
    assert!(String::from_utf8_lossy(&output.stdout).contains("| aim | bound |"), "{said}");
    let written: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap()).collect();
    assert_eq!(written.len(), 1, "one folder, whatever the name of the machine: {written:?}");
    let results = written[0].path();
    let page = fs::read_to_string(results.join("report.md")).unwrap();
    let json = fs::read_to_string(results.join("results.json")).unwrap();
    let found: Results = serde_json::from_str(&json).unwrap();
    assert_eq!(found.page(), page);
    assert_eq!(found.lre.len(), NODES.len());
    // Both sizes, both ways, both host ports; both host ports with both far ends. Then AF_XDP: both
    // sizes one way; one host port with one far end.
    let has_no_xdp = found.notes.iter().any(|note| note.contains("AF_XDP not measured"));
    let by_xdp = if has_no_xdp { (0, 0) } else { (2, 1) };
    let rows = (found.throughput.len(), found.round_trip.len());
    assert_eq!(rows, (8 + by_xdp.0, 4 + by_xdp.1), "{:?}", found.notes);
    assert!(found.throughput.iter().all(|way| way.frames_per_core_second.min > 0.0));
    assert!(found.round_trip.iter().all(|trip| trip.ratio.min > 0.0));
    assert!(!found.host.kernel.is_empty() && !found.host.date.is_empty());
    fs::remove_dir_all(folder).unwrap();
}
