//! Where this crate touches memory that others can see, and other processes. Each `unsafe` block
//! carries its proof.

pub mod durable;
pub mod inherited;
pub mod parent;
pub mod process_priority;
pub mod sequence_file;
pub mod store;
