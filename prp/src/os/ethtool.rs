//! What the driver does to frames on its own (merge, split, checksum), and what it says of itself.
//!
//! Over the ethtool ioctls, which every kernel has; the newer netlink family adds nothing that is
//! needed here. A device that does not know an offload answers "not supported", which is no error:
//! what is not there cannot merge frames.
//!
//! Thread class: never a real-time thread; a driver may reset its device on a change.

mod settings;

use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};

use super::link::LinkError;
use super::netlink::NetlinkError;

pub use settings::{Setting, SettingValue};

const SIOCETHTOOL: libc::Ioctl = 0x8946;
const ETHTOOL_GDRVINFO: u32 = 0x03;
const ETHTOOL_GSTRINGS: u32 = 0x1b;
const ETHTOOL_GFLAGS: u32 = 0x25;
const ETHTOOL_SFLAGS: u32 = 0x26;
const ETHTOOL_GSSET_INFO: u32 = 0x37;
const ETHTOOL_GFEATURES: u32 = 0x3a;
const ETHTOOL_SFEATURES: u32 = 0x3b;
const ETHTOOL_GCHANNELS: u32 = 0x3c;
const ETHTOOL_GLINKSETTINGS: u32 = 0x4c;

const ETH_SS_FEATURES: u32 = 4;
const ETH_FLAG_LRO: u32 = 1 << 15;
const ETH_GSTRING_OCTETS: usize = 32;
/// `struct ethtool_drvinfo`: command, five texts of 32 octets, 12 reserved, five counts.
const DRVINFO_WORDS: usize = 49;
/// `struct ethtool_channels`: command, four most, four counts (receive, transmit, other, combined).
const CHANNELS_WORDS: usize = 9;
/// `struct ethtool_link_settings` without its masks.
const LINK_SETTINGS_WORDS: usize = 12;
/// Three masks of at most 127 words follow it.
const LINK_SETTINGS_WORDS_MAX: usize = LINK_SETTINGS_WORDS + 3 * 127;
/// More names than any kernel has: a bound for what is allocated on its word.
const FEATURES_MAX: usize = 1024;

/// Something the driver or the stack does to frames between wire and socket.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Offload {
    /// Received frames of one stream are merged by the stack (GRO).
    Gro,
    /// Received frames are merged by the driver (LRO); older than GRO, and it loses headers.
    Lro,
    /// Received frames are merged by the device (`rx-gro-hw`); on in virtual machines with virtio.
    GroHw,
    /// Large TCP segments are split by the device (TSO).
    Tso,
    /// Large packets are split late, by the stack (GSO).
    Gso,
    /// Checksums are left to the device on transmission.
    TxChecksum,
    /// VLAN tags (0x8100) are taken out of received frames and told beside them.
    RxVlan,
    /// The same for 0x88a8.
    RxVlanService,
    /// Frames with VLAN tags (0x8100) of networks that nobody registered are thrown away by the
    /// device, unless it takes frames for every address.
    VlanFilter,
    /// The same for 0x88a8.
    VlanServiceFilter,
}

/// How an offload is asked for.
enum Access {
    /// A pair of commands (get, set) with one word.
    Value(u32, u32),
    /// A bit of the flags word.
    Flag(u32),
    /// A named feature.
    Feature(&'static [u8]),
}

impl Offload {
    /// All that merge received frames.
    pub const MERGING: [Self; 3] = [Self::Gro, Self::Lro, Self::GroHw];
    /// All that take VLAN tags out of received frames.
    pub const TAKING_TAGS_OUT: [Self; 2] = [Self::RxVlan, Self::RxVlanService];
    /// All that throw frames away for their VLAN tags.
    pub const FILTERING_TAGS: [Self; 2] = [Self::VlanFilter, Self::VlanServiceFilter];

    /// Others, which change nothing that the wire does not carry.
    pub const HARMLESS: [Self; 4] = [Self::Tso, Self::Gso, Self::TxChecksum, Self::RxVlan];

    const fn access(self) -> Access {
        match self {
            Self::Gro => Access::Value(0x2b, 0x2c),
            Self::Lro => Access::Flag(ETH_FLAG_LRO),
            Self::GroHw => Access::Feature(b"rx-gro-hw"),
            Self::Tso => Access::Value(0x1e, 0x1f),
            Self::Gso => Access::Value(0x23, 0x24),
            Self::TxChecksum => Access::Value(0x16, 0x17),
            Self::RxVlan => Access::Feature(b"rx-vlan-hw-parse"),
            Self::RxVlanService => Access::Feature(b"rx-vlan-stag-hw-parse"),
            Self::VlanFilter => Access::Feature(b"rx-vlan-filter"),
            Self::VlanServiceFilter => Access::Feature(b"rx-vlan-stag-filter"),
        }
    }

    /// The word for it on `ethtool`'s command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Gro => "gro",
            Self::Lro => "lro",
            Self::GroHw => "rx-gro-hw",
            Self::Tso => "tso",
            Self::Gso => "gso",
            Self::TxChecksum => "tx",
            Self::RxVlan => "rxvlan",
            Self::RxVlanService => "rx-vlan-stag-hw-parse",
            Self::VlanFilter => "rx-vlan-filter",
            Self::VlanServiceFilter => "rx-vlan-stag-filter",
        }
    }
}

/// Access to the drivers of one network namespace: the one in which this was opened.
#[derive(Debug)]
pub struct Ethtool {
    socket: OwnedFd,
}

impl Ethtool {
    /// Opens the way to the drivers of the calling thread's namespace.
    ///
    /// # Errors
    /// [`LinkError::Refused`] when no socket can be had.
    pub fn open() -> Result<Self, LinkError> {
        let socket = socket(AddressFamily::Unix, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)
            .map_err(|errno| refusal("(any)", "open a socket for", errno))?;
        Ok(Self { socket })
    }

    /// Whether an offload is on; `None` when the device does not know it.
    ///
    /// # Errors
    /// [`LinkError::NoSuchInterface`], [`LinkError::Refused`].
    pub fn offload(&self, interface: &str, which: Offload) -> Result<Option<bool>, LinkError> {
        let state = match which.access() {
            Access::Value(get, _) => self.value(interface, get).map(|word| word != 0),
            Access::Flag(flag) => {
                self.value(interface, ETHTOOL_GFLAGS).map(|word| word & flag != 0)
            }
            Access::Feature(name) => self
                .feature(interface, name)
                .and_then(|feature| feature.ok_or(Errno::EOPNOTSUPP))
                .and_then(|feature| self.feature_is_on(interface, feature)),
        };
        optional(state).map_err(|errno| refusal(interface, "read the offloads of", errno))
    }

    /// Switches an offload and returns what it is afterwards: `None` when the device does not know
    /// it, the former state when it cannot be changed.
    ///
    /// # Errors
    /// [`LinkError::NoSuchInterface`], [`LinkError::NotPermitted`], [`LinkError::Refused`].
    pub fn set_offload(
        &self,
        interface: &str,
        which: Offload,
        on: bool,
    ) -> Result<Option<bool>, LinkError> {
        let before = self.offload(interface, which)?;
        if before.is_none_or(|state| state == on) {
            return Ok(before);
        }
        let result = match which.access() {
            Access::Value(_, set) => self.command(interface, &mut [set, u32::from(on)]),
            Access::Flag(flag) => self.value(interface, ETHTOOL_GFLAGS).and_then(|word| {
                let word = if on { word | flag } else { word & !flag };
                self.command(interface, &mut [ETHTOOL_SFLAGS, word])
            }),
            Access::Feature(name) => self.feature(interface, name).and_then(|feature| {
                let (block, bit) = feature.ok_or(Errno::EOPNOTSUPP)?;
                // The kernel takes all blocks that it has, or nothing.
                let blocks = self.feature_count(interface)?.div_ceil(32);
                let mut words = vec![0; 2 + 2 * blocks];
                (words[0], words[1]) = (ETHTOOL_SFEATURES, word(blocks));
                (words[2 + 2 * block], words[3 + 2 * block]) = (bit, if on { bit } else { 0 });
                self.command(interface, &mut words)
            }),
        };
        optional(result).map_err(|errno| refusal(interface, "set the offloads of", errno))?;
        self.offload(interface, which)
    }

    /// The driver's name; `None` when it gives none.
    ///
    /// # Errors
    /// [`LinkError::NoSuchInterface`], [`LinkError::Refused`].
    pub fn driver(&self, interface: &str) -> Result<Option<String>, LinkError> {
        self.driver_text(interface, 0)
    }

    /// Where the device sits, as its driver says it: a PCI or USB address for what is real, mostly
    /// nothing for what is not.
    ///
    /// # Errors
    /// [`LinkError::NoSuchInterface`], [`LinkError::Refused`].
    pub fn bus_address(&self, interface: &str) -> Result<Option<String>, LinkError> {
        self.driver_text(interface, 3)
    }

    /// One of the texts in which a driver tells of itself: driver, version, firmware, bus address.
    fn driver_text(&self, interface: &str, which: usize) -> Result<Option<String>, LinkError> {
        let mut words = vec![0; DRVINFO_WORDS];
        words[0] = ETHTOOL_GDRVINFO;
        let at = 4 + 32 * which;
        let found =
            self.command(interface, &mut words).map(|()| text(&octets(&words)[at..at + 32]));
        let found =
            optional(found).map_err(|errno| refusal(interface, "ask the driver of", errno))?;
        Ok(found.filter(|found| !found.is_empty()))
    }

    /// How many receive queues are in use; `None` when the driver does not say.
    ///
    /// # Errors
    /// [`LinkError::NoSuchInterface`], [`LinkError::Refused`].
    pub fn receive_queues(&self, interface: &str) -> Result<Option<u32>, LinkError> {
        let mut words = vec![0; CHANNELS_WORDS];
        words[0] = ETHTOOL_GCHANNELS;
        let count = self.command(interface, &mut words).map(|()| words[5].saturating_add(words[8]));
        let count =
            optional(count).map_err(|errno| refusal(interface, "count the queues of", errno))?;
        Ok(count.filter(|count| *count > 0))
    }

    /// The name that the interface of this index has now, in the namespace in which this was
    /// opened.
    #[must_use]
    pub fn name_of(&self, index: u32) -> Option<String> {
        // SAFETY: all zero is a valid value of this plain structure.
        let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
        request.ifr_ifru.ifru_ifindex = i32::try_from(index).ok()?;
        let fd = self.socket.as_fd().as_raw_fd();
        // SAFETY: the request is a live structure of the kind that this command reads and writes.
        let result = unsafe { libc::ioctl(fd, libc::SIOCGIFNAME, &raw mut request) };
        Errno::result(result).ok()?;
        let name = request.ifr_name.map(|octet| octet.to_ne_bytes()[0]);
        Some(text(&name))
    }

    /// The link's speed in Mbit/s; `None` when it is unknown or there is no link.
    ///
    /// # Errors
    /// [`LinkError::NoSuchInterface`], [`LinkError::Refused`].
    pub fn link_speed_mbit_s(&self, interface: &str) -> Result<Option<u32>, LinkError> {
        let speed = optional(self.link_speed(interface))
            .map_err(|errno| refusal(interface, "ask the link speed of", errno))?;
        // All ones is the kernel's "unknown".
        Ok(speed.filter(|&speed| speed != 0 && speed != u32::MAX))
    }

    fn link_speed(&self, interface: &str) -> Result<u32, Errno> {
        let mut words = vec![0; LINK_SETTINGS_WORDS_MAX];
        words[0] = ETHTOOL_GLINKSETTINGS;
        self.command(interface, &mut words)?;
        // The first answer only tells, as a negative number, how many words each mask has.
        let masks = octets(&words)[15].cast_signed().checked_neg().filter(|&n| n > 0);
        let masks = masks.ok_or(Errno::EPROTO)?.cast_unsigned();
        words.fill(0);
        words[0] = ETHTOOL_GLINKSETTINGS;
        words[3] = u32::from_ne_bytes([0, 0, 0, masks]);
        self.command(interface, &mut words)?;
        Ok(words[1])
    }

    /// Where a named feature has its bit: the block and the bit in it. `None` in a kernel that does
    /// not have the name.
    fn feature(&self, interface: &str, name: &[u8]) -> Result<Option<(usize, u32)>, Errno> {
        let count = self.feature_count(interface)?;
        let mut words = vec![0; 3 + count * ETH_GSTRING_OCTETS / 4];
        (words[0], words[1]) = (ETHTOOL_GSTRINGS, ETH_SS_FEATURES);
        words[2] = word(count);
        self.command(interface, &mut words)?;
        let octets = octets(&words);
        let names = octets[12..].chunks_exact(ETH_GSTRING_OCTETS);
        let place = names
            .into_iter()
            .position(|text| text.strip_prefix(name).is_some_and(|rest| rest.first() == Some(&0)));
        Ok(place.map(|place| (place / 32, 1 << (place % 32))))
    }

    fn feature_count(&self, interface: &str) -> Result<usize, Errno> {
        // Command, reserved, a mask of 64 bits of the sets asked for, one length per set.
        let mut words = [ETHTOOL_GSSET_INFO, 0, 0, 0, 0];
        let mask = (1u64 << ETH_SS_FEATURES).to_ne_bytes();
        for (word, half) in words[2..4].iter_mut().zip(mask.chunks_exact(4)) {
            *word = u32::from_ne_bytes([half[0], half[1], half[2], half[3]]);
        }
        self.command(interface, &mut words)?;
        let count = usize::try_from(words[4]).unwrap_or(usize::MAX);
        if (1..=FEATURES_MAX).contains(&count) { Ok(count) } else { Err(Errno::EOPNOTSUPP) }
    }

    fn feature_is_on(&self, interface: &str, (block, bit): (usize, u32)) -> Result<bool, Errno> {
        // Per block: available, requested, active, never changed.
        let mut words = vec![0; 2 + 4 * (block + 1)];
        (words[0], words[1]) = (ETHTOOL_GFEATURES, word(block + 1));
        self.command(interface, &mut words)?;
        let (available, active) = (words[2 + 4 * block], words[4 + 4 * block]);
        // What the device neither does nor can be told to do is a name without a thing.
        let known = (available | active) & bit != 0;
        if known { Ok(active & bit != 0) } else { Err(Errno::EOPNOTSUPP) }
    }

    fn value(&self, interface: &str, command: u32) -> Result<u32, Errno> {
        let mut words = [command, 0];
        self.command(interface, &mut words)?;
        Ok(words[1])
    }

    /// Runs one ethtool command on `words`, whose first is the command.
    ///
    /// Every caller gives as many words as its command reads and writes.
    fn command(&self, interface: &str, words: &mut [u32]) -> Result<(), Errno> {
        // SAFETY: all zero is a valid value of this plain structure.
        let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
        let room = request.ifr_name.len() - 1;
        if interface.is_empty() || interface.len() > room {
            return Err(Errno::ENODEV);
        }
        for (to, from) in request.ifr_name.iter_mut().zip(interface.bytes()) {
            *to = libc::c_char::from_ne_bytes([from]);
        }
        request.ifr_ifru.ifru_data = words.as_mut_ptr().cast();
        // SAFETY: the request holds a name that ends in a zero octet and points to live words that
        // nobody else uses. Each command here writes a structure of fixed size, or as many blocks
        // as the request says, for which its caller made room; names of features are written in
        // the number that the same kernel gave just before.
        let result =
            unsafe { libc::ioctl(self.socket.as_fd().as_raw_fd(), SIOCETHTOOL, &raw mut request) };
        Errno::result(result).map(drop)
    }
}

/// "Not supported" as an answer instead of an error.
fn optional<T>(result: Result<T, Errno>) -> Result<Option<T>, Errno> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(Errno::EOPNOTSUPP | Errno::EINVAL) => Ok(None),
        Err(errno) => Err(errno),
    }
}

fn refusal(interface: &str, action: &'static str, errno: Errno) -> LinkError {
    LinkError::new(interface, action, NetlinkError::new(errno as i32, ""))
}

/// A count that is small by construction, as a word.
fn word(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

fn octets(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_ne_bytes()).collect()
}

fn text(octets: &[u8]) -> String {
    super::netlink::as_text(octets)
}
