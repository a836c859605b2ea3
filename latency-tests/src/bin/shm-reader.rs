//! `shm-reader`: the second process of the probe `shm`, by itself and with the allocation trap, for
//! its tests.

use latency_tests::latency::probe::shm::reader_main;
use rt_core::os::freeze::{TrapAction, TrapAllocator, set_trap_action};
use tools::exit;

#[global_allocator]
static ALLOCATOR: TrapAllocator = TrapAllocator::system();

fn main() -> std::process::ExitCode {
    set_trap_action(TrapAction::Abort);
    let orders = std::env::args().nth(1).unwrap_or_default();
    exit::end("shm-reader", reader_main(&orders))
}
