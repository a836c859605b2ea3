//! Why a node may not take over, or the pair not be redundant: a set of reasons.

use core::fmt;
use core::ops::{BitOr, BitOrAssign};

/// A set of reasons that stand in the way. Empty is ready.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Blocks(u32);

macro_rules! reasons {
    ($($bit:literal $name:ident $word:literal $doc:literal),* $(,)?) => {
        impl Blocks {
            $(#[doc = $doc] pub const $name: Self = Self(1 << $bit);)*
            /// Each reason by itself, with the word for it.
            pub const ALL: &[(Self, &str)] = &[$((Self::$name, $word)),*];
        }
    };
}

reasons! {
    0 NOT_IN_SYNC "not_in_sync" "Its copy of the state is not whole.",
    1 LAG "lag" "Its copy is further behind than configured.",
    2 SCHEMA "schema" "Its application means another layout of the state.",
    3 PATHS "paths" "Fewer paths to the peer than configured.",
    4 DOCTOR "doctor" "Its host was found unfit.",
    5 CLOCK_RATE "clock_rate" "The two nodes' clocks run apart faster than the lease allows for.",
    6 APPLICATION "application" "Its application does not run, or is late.",
    7 FLAPPING "flapping" "The outputs changed hands too often.",
    8 WITNESS "witness" "The witness does not answer, or has lost its register.",
    9 PEER_SILENT "peer_silent" "Nothing is heard of the peer.",
    10 PEER_STATE "peer_state" "The peer is no standby.",
    11 MAINTENANCE "maintenance" "The peer, or this node, is under maintenance.",
    12 VERSION "version" "The two nodes speak different versions.",
    13 NOT_ACTIVE "not_active" "This node does not drive the outputs.",
    14 UNSETTLED "unsettled" "A change is under way.",
}

impl Blocks {
    /// No reason.
    pub const NONE: Self = Self(0);

    /// The reasons of these bits; unknown bits are reasons too, which have no word here.
    #[must_use]
    pub const fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    /// The reasons as bits.
    #[must_use]
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// Whether nothing stands in the way.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether all of `other` are among them.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// These, and `other` where `holds`.
    #[must_use]
    pub const fn with(self, other: Self, holds: bool) -> Self {
        if holds { Self(self.0 | other.0) } else { self }
    }

    /// These without `other`.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// The words for them, in order of their bits.
    pub fn words(self) -> impl Iterator<Item = &'static str> {
        let known = Self::ALL.iter().filter(move |(it, _)| self.contains(*it)).map(|(_, it)| *it);
        let all = Self::ALL.iter().fold(0, |bits, (it, _)| bits | it.0);
        known.chain((self.0 & !all != 0).then_some("unknown"))
    }
}

impl BitOr for Blocks {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOrAssign for Blocks {
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

impl fmt::Display for Blocks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("nothing");
        }
        for (place, word) in self.words().enumerate() {
            if place > 0 {
                f.write_str(", ")?;
            }
            f.write_str(word)?;
        }
        Ok(())
    }
}

impl fmt::Debug for Blocks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_add_up_and_are_named() {
        let both = Blocks::LAG | Blocks::WITNESS;
        assert!(both.contains(Blocks::LAG) && !both.contains(Blocks::LAG | Blocks::SCHEMA));
        assert_eq!(both.to_string(), "lag, witness");
        assert_eq!(both.without(Blocks::LAG), Blocks::WITNESS);
        assert_eq!(Blocks::from_bits(1 << 31 | 1).to_string(), "not_in_sync, unknown");
        assert_eq!(Blocks::NONE.to_string(), "nothing");
    }
}
