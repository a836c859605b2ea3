//! PRP and HSR (IEC 62439-3) as a machine that turns frames and instants into frames.
//!
//! The pure half (this crate without the feature `os`) reads no clock, opens no socket and
//! allocates nothing: tables live in memory that the caller hands in.
//!
//! | Module | Holds |
//! |---|---|
//! | [`types`] | ports, LANs, MAC addresses |
//! | [`wire`] | the bytes: Ethernet, VLAN tags, RCT, supervision frames; a view and a repr each |
//! | [`lre`] | the link redundancy entity: numbers, duplicate discard, node table, counters |
//! | [`port`] | the [`port::Port`] trait, a port in memory, wrappers (faults, trace) |
//! | `os` | packet ring, AF_XDP transmit, TAP and veth; network interfaces and namespaces |

#![cfg_attr(not(any(feature = "os", test)), no_std)]

pub mod lre;
pub mod port;
pub mod types;
pub mod wire;

#[cfg(feature = "os")]
#[allow(unsafe_code, reason = "system calls and shared rings; each block carries its proof")]
pub mod os;
