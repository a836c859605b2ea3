//! The allocation trap, in a program that installs it.
//!
//! The trap counts over the whole process, so each scenario runs in a child of its own.

use std::hint::black_box;
use std::os::unix::process::ExitStatusExt;
use std::thread;

use rt_core::os::freeze::{
    ABORT_LINE, FrozenAllocations, Request, TrapAction, TrapAllocator, freeze_this_thread,
    frozen_allocations, is_installed, set_trap_action,
};

mod support;

use support::{assert_passed, in_child};

#[global_allocator]
static ALLOCATOR: TrapAllocator = TrapAllocator::system();

#[test]
fn each_request_of_a_frozen_thread_is_counted_and_carried_out() {
    if let Some(output) = in_child("each_request_of_a_frozen_thread_is_counted_and_carried_out") {
        return assert_passed(&output);
    }
    assert!(is_installed());
    let mut numbers: Vec<u32> = Vec::with_capacity(4);
    let frozen = freeze_this_thread();
    numbers.push(1);
    assert_eq!(frozen_allocations(), FrozenAllocations::default());
    let block = black_box(Box::new([0u8; 48]));
    numbers.extend([2, 3, 4, 5]);
    drop(block);
    drop(frozen);
    assert_eq!(numbers, [1, 2, 3, 4, 5]);
    let seen = frozen_allocations();
    assert_eq!(seen, FrozenAllocations { count: 3, first: Some((Request::Allocate, 48)) });
    // Thawed: free again.
    drop(black_box(vec![0u8; 1000]));
    assert_eq!(frozen_allocations(), seen);
}

#[test]
fn other_threads_allocate_freely_beside_a_frozen_one() {
    if let Some(output) = in_child("other_threads_allocate_freely_beside_a_frozen_one") {
        return assert_passed(&output);
    }
    set_trap_action(TrapAction::Abort);
    let busy = thread::spawn(|| {
        for size in 1..10_000 {
            drop(black_box(vec![0u8; size]));
        }
    });
    let frozen = freeze_this_thread();
    while !busy.is_finished() {
        thread::yield_now();
    }
    drop(frozen);
    busy.join().unwrap();
    assert_eq!(frozen_allocations().count, 0);
}

#[test]
fn an_armed_trap_ends_the_process_with_its_line() {
    if let Some(output) = in_child("an_armed_trap_ends_the_process_with_its_line") {
        assert_eq!(output.status.signal(), Some(libc::SIGABRT), "{output:?}");
        let errors = String::from_utf8(output.stderr).unwrap();
        assert!(errors.ends_with(ABORT_LINE), "{errors}");
        return;
    }
    // No core file from a test.
    nix::sys::resource::setrlimit(nix::sys::resource::Resource::RLIMIT_CORE, 0, 0).unwrap();
    set_trap_action(TrapAction::Abort);
    let frozen = freeze_this_thread();
    drop(black_box(Box::new(1u64)));
    drop(frozen);
}
