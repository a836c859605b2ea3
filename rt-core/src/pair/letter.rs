//! A beat with what it travels in: who sent it to whom, on which path, as which copy.
//!
//! A node that starts draws a [`Session`] and does not know its peer's. What it sends then is
//! addressed to nobody: it teaches the peer the session, and no more. What a role machine goes by
//! is addressed to the receiver's present session and to its present challenge, which changes each
//! time the receiver takes a new session of the peer's for the present one. So nothing that was
//! recorded before either of the two started is ever taken, whoever sends it again.

use super::beat::{Beat, Session};
use super::standing::NodeId;

/// Tells pairs apart that share a network: chosen by whoever sets up the pair.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct PairId(pub u64);

/// Whom a letter is for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Address {
    /// The receiver's session.
    pub session: Session,
    /// What it wants to hear from a peer whose session it did not know before.
    pub challenge: u32,
}

/// A copy of a beat on one path.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Letter {
    /// The pair.
    pub pair: PairId,
    /// Who sent it.
    pub from: NodeId,
    /// The sender's session.
    pub session: Session,
    /// What the sender wants to hear from a session that it does not know.
    pub challenge: u32,
    /// Whom it is for; none while the sender knows no session of its peer's.
    pub to: Option<Address>,
    /// The path it was sent on: 0 and 1 are LAN A and LAN B.
    pub path: u8,
    /// Counts what the sender sent on this path in this session, from 1.
    pub counter: u64,
    /// What it says.
    pub beat: Beat,
}
