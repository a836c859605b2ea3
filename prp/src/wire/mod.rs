//! (being written)
pub mod vlan;
