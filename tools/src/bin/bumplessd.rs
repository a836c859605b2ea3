//! The daemon's program.

use std::process::ExitCode;

use rt_core::os::freeze::{TrapAction, TrapAllocator, set_trap_action};
use tools::args::DaemonArgs;
use tools::{daemon, exit};

/// Counts what a real-time thread allocates after its start: nothing, or it shows in `status`.
#[global_allocator]
static ALLOCATOR: TrapAllocator = TrapAllocator::system();

fn main() -> ExitCode {
    // For tests of the daemon itself: end at once instead of counting.
    if std::env::var_os("BUMPLESS_ALLOCATION_TRAP").is_some_and(|action| action == "abort") {
        set_trap_action(TrapAction::Abort);
    }
    let args = match DaemonArgs::parse_line(std::env::args_os()) {
        Ok(args) => args,
        Err(error) => error.exit(),
    };
    exit::end("bumplessd", daemon::run(args))
}
