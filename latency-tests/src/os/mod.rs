//! The kernel's side of the test programs: clock, waiting, signals, packet sockets.

pub mod clock;
pub mod net;
pub mod packet;
pub mod wait;
