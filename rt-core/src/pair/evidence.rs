//! How sure one is that the peer does not drive, and what follows from it.

use core::fmt;

/// Classes of evidence that the peer does not drive the outputs.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum Evidence {
    /// E0: its own word, in a beat that only it can have sent.
    Word = 0,
    /// E1: the kernel of the host that both run on saw it end.
    Kernel = 1,
    /// E2: it was switched off, or cut off, which was read back; or a person says so.
    Fence = 2,
    /// E3: nothing was heard on any path for as long as was promised.
    Silence = 3,
    /// E4: hints, such as a path that is dead or a gateway that does not answer.
    Hint = 4,
    /// E5: it is heard, but its application makes no progress.
    Stall = 5,
}

impl Evidence {
    /// All, by class.
    pub const ALL: [Self; 6] =
        [Self::Word, Self::Kernel, Self::Fence, Self::Silence, Self::Hint, Self::Stall];

    /// Whether it is proof by itself: no promise has to be waited for, no fence to be asked.
    #[must_use]
    pub const fn is_proof(self) -> bool {
        matches!(self, Self::Word | Self::Kernel | Self::Fence)
    }

    /// Whether a standby may act on it at all. Hints and a stall raise alarms: the one says
    /// nothing about the peer, and on the other the peer's own gate closes.
    #[must_use]
    pub const fn permits_takeover(self) -> bool {
        self.is_proof() || matches!(self, Self::Silence)
    }
}

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self {
            Self::Word => "its own word",
            Self::Kernel => "the kernel's word",
            Self::Fence => "confirmed fence",
            Self::Silence => "silence",
            Self::Hint => "a hint",
            Self::Stall => "no progress",
        };
        write!(f, "E{} {what}", *self as u8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_proof_and_silence_permit_a_takeover() {
        let permits = Evidence::ALL.map(Evidence::permits_takeover);
        assert_eq!(permits, [true, true, true, true, false, false]);
        let proof = Evidence::ALL.map(Evidence::is_proof);
        assert_eq!(proof, [true, true, true, false, false, false]);
    }
}
