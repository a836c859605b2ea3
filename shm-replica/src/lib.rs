//! A controller's state, published through shared memory and rebuilt on a standby.
//!
//! | Module | Holds |
//! |---|---|
//! | [`word`] | a word of shared memory |
//! | [`ring`] | one writer, any number of readers, no waiting |

#![cfg_attr(not(any(feature = "os", test)), no_std)]

pub mod ring;
pub mod word;
