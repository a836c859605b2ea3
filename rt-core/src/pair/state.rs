//! The states of a node, in the words that its operator sees.

use core::fmt;

/// What a node is in its pair.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum State {
    /// Not started, or stopped in good order.
    Off = 0,
    /// Started; the host is being looked at.
    SelfTest = 1,
    /// Hears out who is there before it does anything: it has no rights.
    Listen = 2,
    /// Hears the active node and takes over its state; it has no rights yet.
    SyncUp = 3,
    /// Has the state and may take over.
    Standby = 4,
    /// May not take over for now: something that [`super::Blocks`] names is missing.
    StandbyDegraded = 5,
    /// Asks for the outputs. It grants no lease any more.
    Candidate = 6,
    /// Drives the outputs under the lease that its standby grants.
    ActiveDuplex = 7,
    /// Drives the outputs alone.
    ActiveSolo = 8,
    /// Has closed its gate and gives the outputs to its standby.
    Handover = 9,
    /// Has lost its rights, or cannot know whether it has them. It drives nothing.
    Isolated = 10,
    /// Was switched off by its peer, which was confirmed. A person lets it in again.
    Fenced = 11,
    /// Something is wrong with the application, the host or this program.
    Fault = 12,
    /// Out of the pair by an operator's order.
    Maintenance = 13,
}

impl State {
    /// All states; the state at place `i` has the number `i`.
    pub const ALL: [Self; 14] = [
        Self::Off,
        Self::SelfTest,
        Self::Listen,
        Self::SyncUp,
        Self::Standby,
        Self::StandbyDegraded,
        Self::Candidate,
        Self::ActiveDuplex,
        Self::ActiveSolo,
        Self::Handover,
        Self::Isolated,
        Self::Fenced,
        Self::Fault,
        Self::Maintenance,
    ];

    /// The state with this number on the wire.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }

    /// Its number on the wire.
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// Its name, as operators see it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Off => "OFF",
            Self::SelfTest => "SELFTEST",
            Self::Listen => "LISTEN",
            Self::SyncUp => "SYNCUP",
            Self::Standby => "STANDBY",
            Self::StandbyDegraded => "STANDBY-DEGRADED",
            Self::Candidate => "CANDIDATE",
            Self::ActiveDuplex => "ACTIVE-DUPLEX",
            Self::ActiveSolo => "ACTIVE-SOLO",
            Self::Handover => "HANDOVER",
            Self::Isolated => "ISOLATED",
            Self::Fenced => "FENCED",
            Self::Fault => "FAULT",
            Self::Maintenance => "MAINT",
        }
    }

    /// Whether the node holds the outputs in this state. Whether it may drive them at an instant
    /// is the gate's word.
    #[must_use]
    pub const fn is_active(self) -> bool {
        matches!(self, Self::ActiveDuplex | Self::ActiveSolo)
    }

    /// Whether the node is the standby of its pair, ready or not.
    #[must_use]
    pub const fn is_standby(self) -> bool {
        matches!(self, Self::Standby | Self::StandbyDegraded)
    }

    /// Whether the node takes part: it hears beats and answers for what it said.
    #[must_use]
    pub const fn takes_part(self) -> bool {
        !matches!(self, Self::Off | Self::SelfTest)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_names_the_state_that_has_it() {
        for (place, state) in State::ALL.iter().enumerate() {
            assert_eq!(usize::from(state.number()), place);
            assert_eq!(State::from_number(state.number()), Some(*state));
        }
        assert_eq!(State::from_number(14), None);
    }
}
