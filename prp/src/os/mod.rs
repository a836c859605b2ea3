//! The operating system half: packet ports, network interfaces and namespaces.
//!
//! (being written)

pub mod link;
mod netlink;
pub mod netns;
