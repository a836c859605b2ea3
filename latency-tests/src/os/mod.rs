//! The kernel's side of the test programs: clock, waiting, signals, packet sockets,
//! arrays of programs in the kernel.

pub mod bpf;
pub mod clock;
pub mod net;
pub mod ordinary;
pub mod packet;
pub mod process;
pub mod stamped;
pub mod wait;
