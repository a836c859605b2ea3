//! Settings of a driver that are one number each: when it reports frames, how many it keeps, how
//! its link saves power.

use nix::errno::Errno;

use super::{Ethtool, optional, refusal};
use crate::os::link::LinkError;

/// A setting with one number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Setting {
    /// How long received frames may wait for the interrupt that reports them, in microseconds.
    RxCoalescingTime,
    /// Whether the driver chooses that time itself (0 or 1).
    RxCoalescingAdaptive,
    /// Frames that fit into each receive ring.
    RxRing,
    /// Frames that fit into each transmit ring.
    TxRing,
    /// Whether the device stops sending when the other end asks for it (0 or 1).
    RxPause,
    /// Whether the device asks the other end to stop sending (0 or 1).
    TxPause,
    /// Whether an idle link saves power (EEE, 0 or 1).
    Eee,
    /// Pairs of a receive and a transmit queue.
    CombinedQueues,
}

/// Where a setting is: command to get, to set, words of the structure, the word of the setting.
struct Place {
    get: u32,
    set: u32,
    words: usize,
    at: usize,
}

impl Setting {
    /// Every setting.
    pub const ALL: [Self; 8] = [
        Self::RxCoalescingTime,
        Self::RxCoalescingAdaptive,
        Self::RxRing,
        Self::TxRing,
        Self::RxPause,
        Self::TxPause,
        Self::Eee,
        Self::CombinedQueues,
    ];

    /// By the layouts of `linux/ethtool.h`: `ethtool_coalesce`, `ethtool_ringparam`,
    /// `ethtool_pauseparam`, `ethtool_eee`, `ethtool_channels`.
    const fn place(self) -> Place {
        let (get, set, words, at) = match self {
            Self::RxCoalescingTime => (0x0e, 0x0f, 23, 1),
            Self::RxCoalescingAdaptive => (0x0e, 0x0f, 23, 10),
            Self::RxRing => (0x10, 0x11, 9, 5),
            Self::TxRing => (0x10, 0x11, 9, 8),
            Self::RxPause => (0x12, 0x13, 4, 2),
            Self::TxPause => (0x12, 0x13, 4, 3),
            Self::Eee => (0x44, 0x45, 10, 5),
            Self::CombinedQueues => (0x3c, 0x3d, 9, 8),
        };
        Place { get, set, words, at }
    }

    /// The word that holds the greatest value, where the driver tells it.
    const fn greatest_at(self) -> Option<usize> {
        match self {
            Self::RxRing => Some(1),
            Self::TxRing | Self::CombinedQueues => Some(4),
            _ => None,
        }
    }

    /// The option and the words on `ethtool`'s command line, as in `-C` and `rx-usecs`.
    #[must_use]
    pub const fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::RxCoalescingTime => ("-C", "rx-usecs"),
            Self::RxCoalescingAdaptive => ("-C", "adaptive-rx"),
            Self::RxRing => ("-G", "rx"),
            Self::TxRing => ("-G", "tx"),
            Self::RxPause => ("-A", "rx"),
            Self::TxPause => ("-A", "tx"),
            Self::Eee => ("--set-eee", "eee"),
            Self::CombinedQueues => ("-L", "combined"),
        }
    }

    /// Whether it is on or off, not a quantity.
    #[must_use]
    pub const fn is_switch(self) -> bool {
        matches!(self, Self::RxCoalescingAdaptive | Self::RxPause | Self::TxPause | Self::Eee)
    }
}

/// What a driver says of a setting.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SettingValue {
    /// Its value.
    pub now: u32,
    /// The greatest it takes, where the driver tells.
    pub greatest: Option<u32>,
}

impl Ethtool {
    /// What a setting is; `None` when the device does not know it.
    ///
    /// # Errors
    /// [`LinkError::NoSuchInterface`], [`LinkError::NotPermitted`], [`LinkError::Refused`].
    pub fn setting(
        &self,
        interface: &str,
        which: Setting,
    ) -> Result<Option<SettingValue>, LinkError> {
        let words = optional(self.setting_words(interface, which))
            .map_err(|errno| refusal(interface, "read the settings of", errno))?;
        Ok(words.map(|words| SettingValue {
            now: words[which.place().at],
            greatest: which.greatest_at().map(|at| words[at]).filter(|&greatest| greatest > 0),
        }))
    }

    /// Sets a setting, with all that stands in the same structure left as it is, and returns what
    /// it is afterwards. Some drivers reset their device for it: the link goes down for seconds.
    ///
    /// # Errors
    /// As [`Self::setting`].
    pub fn set_setting(
        &self,
        interface: &str,
        which: Setting,
        value: u32,
    ) -> Result<Option<SettingValue>, LinkError> {
        let fault = |errno| refusal(interface, "change the settings of", errno);
        let mut words = self.setting_words(interface, which).map_err(fault)?;
        words[0] = which.place().set;
        words[which.place().at] = value;
        self.command(interface, &mut words).map_err(fault)?;
        self.setting(interface, which)
    }

    fn setting_words(&self, interface: &str, which: Setting) -> Result<Vec<u32>, Errno> {
        let place = which.place();
        let mut words = vec![0; place.words];
        words[0] = place.get;
        self.command(interface, &mut words)?;
        Ok(words)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_setting_lies_in_its_structure() {
        for setting in Setting::ALL {
            let place = setting.place();
            assert!(place.at > 0 && place.at < place.words, "{setting:?}");
            assert!(setting.greatest_at().is_none_or(|at| at < place.words), "{setting:?}");
            assert_eq!(place.get + 1, place.set, "{setting:?}");
        }
    }

    #[test]
    fn an_interface_that_is_not_there_is_an_error_and_loopback_knows_nothing() {
        let ethtool = Ethtool::open().unwrap();
        for setting in Setting::ALL {
            assert!(ethtool.setting("bmpl-none", setting).is_err());
            assert_eq!(ethtool.setting("lo", setting).unwrap(), None, "{setting:?}");
        }
    }
}
