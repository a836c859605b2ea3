//! Where this crate touches memory that others can see. Each `unsafe` block carries its proof.

pub mod sequence_file;
