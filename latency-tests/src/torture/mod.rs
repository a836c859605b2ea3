//! Kill torture: processes that use regions, killed at every instruction, and what is left then.
//!
//! What is killed is the real thing: a daemon, and processes that link the library. What judges
//! them ([`content`], [`census`]) uses nothing of the library.
//!
//! | Module | Holds |
//! |---|---|
//! | [`actor`] | what the processes do that are killed |
//! | [`board`] | what they write down, to be read after their death |
//! | [`content`] | what an image has to hold |
//! | [`world`] | a daemon and its actors, and the account that a takeover is held against |
//! | [`lane`] | who is killed when and where |
//! | [`step`] | stepping to an instruction |
//! | [`census`] | who has which memory |
//! | [`report`] | what was found |
//!
//! What is promised, and looked at here, when an owner is killed: who takes over goes on from the
//! last cycle whose commit returned, or from the one after it, if that was complete in all regions
//! of the cut and its commit had not returned yet. A region that is committed by itself has its
//! last commit in the same sense. Images of a cut are of one cycle; each image was committed so.

pub mod actor;
pub mod board;
pub mod census;
pub mod content;
pub mod lane;
pub mod report;
pub mod step;
pub mod world;
