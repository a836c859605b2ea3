//! A controller's state, published through shared memory and rebuilt on a standby.
//!
//! The crate holds its place in the workspace and in the dependency rule; the image ring, the
//! segments, the replication protocol and the C ABI are not built yet.

#![cfg_attr(not(any(feature = "os", test)), no_std)]
