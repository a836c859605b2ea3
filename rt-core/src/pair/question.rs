//! What a node asks of those who decide or act for it, and what they answer.

use super::{Epoch, NodeId, Standing};

/// Numbers a node's questions in its session, rising; the repetition of a question has the number
/// of the question.
pub type Nonce = u64;

/// Latches that a pair's outputs hang on, at most.
pub const LATCHES_MAX: usize = 16;

/// What is asked of the witness, which keeps one [`Standing`] for the pair.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Question {
    /// Who asks.
    pub node: NodeId,
    /// Which question of its session.
    pub nonce: Nonce,
    /// The newest that the asker knows. A register that stands lower has lost something.
    pub known: Epoch,
    /// What it wants.
    pub wish: Wish,
}

/// What a node wants of the witness.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Wish {
    /// To know what the register says.
    Read,
    /// To put `new` in place of what stands there, if that is of the epoch `expected`.
    Swap {
        /// The epoch that is to be replaced.
        expected: Epoch,
        /// What is to stand there.
        new: Standing,
        /// By what right.
        right: Right,
    },
    /// To fill a register that has lost what it held: this is the newest that the asker knows,
    /// and it takes no answer any more that was given before.
    Seed(Standing),
}

/// By what right the register is to be changed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum Right {
    /// As a node of the pair: from DUPLEX either node, from SOLO its owner alone.
    Member = 0,
    /// Its peer was switched off, which was confirmed, or a person says that it is: from anything.
    Fence = 1,
}

/// What the witness answers.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Answer {
    /// Which question.
    pub nonce: Nonce,
    /// What the register says now; none when it has lost what it held, until both nodes have
    /// said the same.
    pub register: Option<Standing>,
    /// Whether this very question changed it, now or when it was asked before.
    pub swapped: bool,
}

/// What the latch of an output answers to a claim, or to a node that asks how it stands.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Claimed {
    /// Which latch.
    pub latch: u8,
    /// The epoch whose frames it takes; none since it was powered, until somebody claims it.
    pub epoch: Epoch,
}

/// What came of an order to switch the peer off, or to kill it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum FenceOutcome {
    /// It was done and read back.
    Confirmed,
    /// It was not, or nobody knows.
    Failed,
}
