//! Who decides that a node may take the outputs when its peer says nothing.
//!
//! Two nodes and silence alone cannot decide: if both kept or took the outputs, a cut between them
//! would make two owners; if neither did, a crash would stop the plant. Something else has to say,
//! and what that is differs from plant to plant: five modes, one question each
//! ([`Arbiter::needs`]).
//!
//! | Mode | Who says | Where the lease ends, the gate |
//! |---|---|---|
//! | W | the witness: one register, changed by compare-and-swap | closes |
//! | L | the latches at the outputs: each takes one epoch only | closes |
//! | F | a fence: the peer is off, and that was read back | stays, for the fence decides |
//! | M | a person; the active node goes on, the standby waits | stays, for nobody else takes it |
//! | H | the kernel of the host that both run on: the peer is killed, and has ended | stays |

use core::fmt;

use super::role::Cause;

/// What has to be granted before a claim is carried out.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Need {
    /// Nothing: what happened is proof, or nobody else could.
    Nothing,
    /// The witness's register has to change.
    Register,
    /// The critical latches have to take the new epoch.
    Latches,
    /// The peer has to be off, or dead, for certain.
    Fence,
    /// Nobody can grant it but a person.
    Never,
}

/// A source of evidence, as the role machine sees it.
pub trait Arbiter: Sync {
    /// What a claim for this cause needs. `heard` says whether the peer is heard at present, and
    /// with it all that the peer knows.
    fn needs(&self, cause: Cause, heard: bool) -> Need;

    /// Whether the standby may get the outputs without the active node's knowledge as soon as it
    /// grants no lease any more. Then the gate has to close with the lease.
    fn binds_to_lease(&self) -> bool;
}

/// The mode of arbitration.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Mode {
    /// W: a witness.
    Witness,
    /// L: the latches at the outputs.
    Latch,
    /// F: a confirmed fence.
    Fence,
    /// M: a person.
    Manual,
    /// H: the kernel of the host that both nodes run on.
    SameHost,
}

impl Mode {
    /// All.
    pub const ALL: [Self; 5] =
        [Self::Witness, Self::Latch, Self::Fence, Self::Manual, Self::SameHost];

    /// Its letter, as in configuration and status.
    #[must_use]
    pub const fn letter(self) -> char {
        match self {
            Self::Witness => 'W',
            Self::Latch => 'L',
            Self::Fence => 'F',
            Self::Manual => 'M',
            Self::SameHost => 'H',
        }
    }

    /// Who decides in this mode.
    #[must_use]
    pub fn arbiter(self) -> &'static dyn Arbiter {
        match self {
            Self::Witness => &ByWitness,
            Self::Latch => &ByLatch,
            Self::Fence => &ByFence,
            Self::Manual => &ByPerson,
            Self::SameHost => &ByKernel,
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.letter(), f)
    }
}

/// W. Each change of standing is one of the register, so that no node has to know what the other
/// one knows.
struct ByWitness;

impl Arbiter for ByWitness {
    fn needs(&self, _: Cause, _: bool) -> Need {
        Need::Register
    }

    fn binds_to_lease(&self) -> bool {
        true
    }
}

/// L. A latch knows epochs only: who gives the outputs away, or takes a standby, asks nobody.
struct ByLatch;

impl Arbiter for ByLatch {
    fn needs(&self, cause: Cause, _: bool) -> Need {
        if cause.gives() { Need::Nothing } else { Need::Latches }
    }

    fn binds_to_lease(&self) -> bool {
        true
    }
}

/// F. As long as the peer was not switched off for certain, everything stays as it is.
struct ByFence;

impl Arbiter for ByFence {
    fn needs(&self, cause: Cause, heard: bool) -> Need {
        match cause {
            Cause::RenewalsMissing | Cause::PromiseOver => Need::Fence,
            Cause::ColdStart | Cause::Reclaim if !heard => Need::Fence,
            _ => Need::Nothing,
        }
    }

    fn binds_to_lease(&self) -> bool {
        false
    }
}

/// M. The active node goes on, for its standby takes nothing by itself.
struct ByPerson;

impl Arbiter for ByPerson {
    fn needs(&self, cause: Cause, heard: bool) -> Need {
        match cause {
            Cause::PromiseOver => Need::Never,
            Cause::ColdStart | Cause::Reclaim if !heard => Need::Never,
            _ => Need::Nothing,
        }
    }

    fn binds_to_lease(&self) -> bool {
        false
    }
}

/// H. As F, and the fence is a kill that the kernel confirms.
struct ByKernel;

impl Arbiter for ByKernel {
    fn needs(&self, cause: Cause, heard: bool) -> Need {
        ByFence.needs(cause, heard)
    }

    fn binds_to_lease(&self) -> bool {
        false
    }
}
