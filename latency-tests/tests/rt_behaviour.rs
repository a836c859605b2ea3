//! The `lre` thread of the running daemon does not allocate, fault or block, but for its one wait.
//!
//! What counts is what the kernel says of the thread (page faults, voluntary switches), what the
//! allocation trap says (armed to abort), and what the thread itself says of its waits.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod rt_load;

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use latency_tests::bench::cpus::Cpus;
use latency_tests::bench::rig::{HostPort, Rig};
use rt_load::{daemon, put_to_the_test, start};
use tools::control::socket_path;

/// Frames through the thread, all ways together.
fn frames_wanted() -> u64 {
    if std::env::var_os("BUMPLESS_SOAK").is_some() { 3_000_000 } else { 200_000 }
}

fn nothing(_: &Rig, _: &AtomicBool) {}

#[test]
fn a_blocking_thread_gives_up_its_cpu_only_to_wait() {
    let Some(daemon) = daemon("a_blocking_thread_gives_up_its_cpu_only_to_wait") else { return };
    for host_port in HostPort::BOTH {
        let rig = start(&daemon, host_port, "block", Cpus::here().lre());
        let (switches, waits) = put_to_the_test(&rig, frames_wanted(), nothing);
        // A wait that found something at once is none for the kernel. One may be under way.
        assert!(switches <= waits + 1, "{switches} switches, {waits} waits");
        assert!(waits > 0);
    }
}

#[test]
fn a_polling_thread_never_gives_up_its_cpu() {
    let test = "a_polling_thread_never_gives_up_its_cpu";
    let Some(daemon) = daemon(test) else { return };
    let Some(cpu) = Cpus::here().lre() else {
        println!("SKIP: {test}: a second CPU");
        return;
    };
    for host_port in HostPort::BOTH {
        let rig = start(&daemon, host_port, "busy", Some(cpu));
        let (switches, waits) = put_to_the_test(&rig, frames_wanted(), nothing);
        assert_eq!((switches, waits), (0, 0));
    }
}

/// Many connections, requests that never end, and the most expensive question without a pause.
fn hostile_clients(rig: &Rig, done: &AtomicBool) {
    let socket = socket_path(rig.folder());
    let mut held = Vec::new();
    let mut answered = 0u64;
    while !done.load(Ordering::Relaxed) {
        if held.len() == 200 {
            held.clear();
        }
        let Ok(mut stream) = UnixStream::connect(&socket) else { continue };
        let _ = stream.set_nonblocking(true);
        let _ = stream.write_all(b"{\"request\":\"no");
        held.push(stream);
        let Ok(mut stream) = UnixStream::connect(&socket) else { continue };
        let _ = stream.set_read_timeout(Some(Duration::from_millis(20)));
        let _ = stream.write_all(b"{\"request\":\"nodes\"}\n");
        let mut octets = [0; 256];
        answered += u64::from(stream.read(&mut octets).is_ok_and(|octets| octets > 0));
        // And gone before the rest is read.
    }
    println!("hostile clients: {answered} answers begun");
}

#[test]
fn a_hostile_client_changes_none_of_it() {
    let Some(daemon) = daemon("a_hostile_client_changes_none_of_it") else { return };
    let rig = start(&daemon, HostPort::Veth, "block", Cpus::here().lre());
    let (switches, waits) = put_to_the_test(&rig, frames_wanted(), hostile_clients);
    assert!(switches <= waits + 1, "{switches} switches, {waits} waits");
}
