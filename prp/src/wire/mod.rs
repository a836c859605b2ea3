//! The bytes on the wire, in two levels.
//!
//! A *view* lies over octets that were checked once: its constructor says which frames it refuses,
//! and afterwards none of its getters fails. A *repr* is the small set of legal contents as values:
//! `parse` reads one from a view, `emit` writes one, and `parse` after `emit` gives the same value
//! back. Nothing here allocates or panics, whatever the octets are.
//!
//! | Module | Bytes |
//! |---|---|
//! | [`ethernet`] | Ethernet header with 0, 1 or 2 VLAN tags |
//! | [`vlan`] | IEEE 802.1Q tag control information |
//! | [`rct`] | redundancy control trailer of PRP |
//! | [`supervision`] | supervision frames of PRP and HSR |

use core::fmt;

pub mod ethernet;
pub mod rct;
pub mod supervision;
pub mod vlan;

/// Octets that are not what they should be. A parser here has one way to fail.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Malformed;

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("malformed frame")
    }
}

impl core::error::Error for Malformed {}

/// Reads a big-endian 16-bit value; 0 beyond the end, which callers exclude by their own check.
#[inline]
fn get_u16(octets: &[u8], at: usize) -> u16 {
    match octets.get(at..at + 2) {
        Some(&[high, low]) => u16::from_be_bytes([high, low]),
        _ => 0,
    }
}

/// Writes a big-endian 16-bit value; nothing beyond the end, which callers exclude.
#[inline]
fn put_u16(octets: &mut [u8], at: usize, value: u16) {
    if let Some(field) = octets.get_mut(at..at + 2) {
        field.copy_from_slice(&value.to_be_bytes());
    }
}
