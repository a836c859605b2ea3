//! A controller's state, published through shared memory and rebuilt on a standby.
//!
//! | Module | Holds |
//! |---|---|
//! | [`attach`] | what participants and the daemon say to each other |
//! | [`book`] | who writes which region, under which epoch |
//! | [`crc`] | the checksum of an image |
//! | [`image`] | what a slot holds: stamp, checksum, image |
//! | [`page`] | what the daemon tells a participant |
//! | [`ring`] | one writer, any number of readers, no waiting |
//! | [`schema`] | what an image holds: named blocks and their kinds |
//! | [`segment`] | the memory of a region: sizes, places, header |
//! | [`word`] | a word of shared memory |
//! | `capi` | the C interface (feature `os`) |
//! | `os` | sealed segments, handed from process to process (feature `os`) |

#![cfg_attr(not(any(feature = "os", test)), no_std)]

pub mod attach;
pub mod book;
pub mod crc;
pub mod image;
pub mod page;
pub mod ring;
pub mod schema;
pub mod segment;
pub mod word;

#[cfg(feature = "os")]
#[allow(unsafe_code, reason = "what C hands over; each block carries its proof")]
pub mod capi;
#[cfg(feature = "os")]
#[allow(unsafe_code, reason = "shared memory; each block carries its proof")]
pub mod os;
