//! What a participant and the daemon say to each other about regions.
//!
//! A message is one datagram of a socket that keeps their bounds; descriptors travel beside it. It
//! begins with eight octets that never change (`BMPR`, kind of message, two zeros, version), so
//! that two versions can always tell each other that they do not fit. The rest is in a documented
//! compact coding (postcard's), and every part of it is checked before it becomes a value.
//!
//! A participant greets in the newest version that it speaks, and the daemon goes on in that one. A
//! daemon that does not speak it refuses in its own newest: then the participant greets again in
//! that version, if it speaks it, and otherwise says which of the two is to be updated.
//!
//! | Participant | Daemon | Descriptor |
//! |---|---|---|
//! | [`Request::Hello`] | [`Reply::Welcome`] | ← the participant's page |
//! | [`Request::Register`] | [`Reply::Registered`] | ← a segment to write; → one it holds already |
//! | [`Request::Ready`] | [`Reply::Done`]; what follows stands in the page | |
//! | [`Request::Attach`] | [`Reply::Attached`] | ← the segment in force, for reading |
//! | [`Request::Wake`] | [`Reply::Done`] | |
//! | [`Request::Leave`] | [`Reply::Done`] | |
//! | any | [`Reply::Refused`] | |
//! | | [`Reply::Next`], unasked: it was active, and stands by | ← a segment to write |
//! | | [`Reply::Segment`], unasked: a takeover | ← the segment in force, for reading |
//! | | [`Reply::Office`], unasked: the page says another role or epoch | |

use core::ops::RangeInclusive;

use rt_core::limits::SCHEMA_OCTETS_MAX;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::segment::{Layout, RegionName, WrongLayout, WrongName};

/// The first octets of each message.
const MAGIC: [u8; 4] = *b"BMPR";
/// Octets before the part that depends on the version.
const HEAD_OCTETS: usize = 8;
/// The version that is spoken here.
pub const VERSION: u16 = 1;
/// All versions that are understood here.
pub const VERSIONS: RangeInclusive<u16> = VERSION..=VERSION;

/// Octets of a text that says who or why.
pub const TEXT_OCTETS_MAX: usize = 1_024;
/// Octets of a message: a schema, and what is said beside it.
pub const MESSAGE_OCTETS_MAX: usize = SCHEMA_OCTETS_MAX + 2 * TEXT_OCTETS_MAX;

/// Octets of what the daemon says: a text, and what stands beside it.
pub const REPLY_OCTETS_MAX: usize = TEXT_OCTETS_MAX + 64;

/// How soon a standby can take over a region.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum StandbyClass {
    /// It is started when it is needed.
    Cold,
    /// It runs; its memory is made when it is needed.
    Warm,
    /// It runs and has its memory.
    Hot,
}

/// What an application says of a region that it wants to write.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Registration<'a> {
    /// The region.
    pub region: RegionName,
    /// Octets of its image.
    pub image_octets: u64,
    /// Slots of its ring.
    pub slots: u32,
    /// How soon this participant can take it over.
    pub class: StandbyClass,
    /// The application's cycle in ns; zero when it has none.
    pub cycle_ns: u64,
    /// What a commit was measured to cost here, in ns.
    pub commit_cost_ns: u64,
    /// What is in the image; empty when that is not said.
    pub schema: &'a [u8],
    /// The epoch of the segment that it holds and hands over with this message; zero for none.
    pub held_epoch: u64,
    /// The newest epoch whose segment it was given to read before, by a daemon that has ended; zero
    /// for none. So far it has the state.
    pub followed_epoch: u64,
}

impl<'a> Registration<'a> {
    /// A registration of a region with this layout and schema, hot, without a cycle.
    #[must_use]
    pub const fn new(region: RegionName, layout: Layout, schema: &'a [u8]) -> Self {
        Self {
            region,
            image_octets: layout.image_octets() as u64,
            slots: layout.slots_u32(),
            class: StandbyClass::Hot,
            cycle_ns: 0,
            commit_cost_ns: 0,
            schema,
            held_epoch: 0,
            followed_epoch: 0,
        }
    }

    /// The layout of the region's segments.
    ///
    /// # Errors
    /// A size is beyond its limits.
    pub fn layout(&self) -> Result<Layout, WrongLayout> {
        let octets = usize::try_from(self.image_octets).unwrap_or(usize::MAX);
        let slots = usize::try_from(self.slots).unwrap_or(usize::MAX);
        Layout::new(octets, slots, self.schema.len())
    }
}

/// What a participant says.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Request<'a> {
    /// The first message: who is there. The daemon speaks the version that this message is in.
    Hello {
        /// The application that it is an instance of.
        application: RegionName,
        /// The library's version, for people.
        library: &'a str,
    },
    /// It wants to write a region, now or after a takeover.
    Register(Registration<'a>),
    /// It has registered all that it writes, and is fit to be active.
    Ready,
    /// It wants to read a region.
    Attach {
        /// The region.
        region: RegionName,
        /// What it takes the image for; empty when it does not care.
        schema: &'a [u8],
    },
    /// It wants to be woken by each commit of a region that it reads, or no more.
    Wake {
        /// The region.
        region: RegionName,
        /// Which.
        wanted: bool,
    },
    /// It is done with a region.
    Leave {
        /// The region.
        region: RegionName,
    },
}

/// What the daemon says.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Reply<'a> {
    /// Greets, and hands over the participant's page.
    Welcome {
        /// A number of this life of the daemon's.
        instance: u64,
        /// The daemon's version, for people.
        daemon: &'a str,
    },
    /// The region is known; the segment that comes along is the participant's to write once it is
    /// active.
    Registered {
        /// Its place in the participant's page.
        index: u32,
    },
    /// The region is there; the segment that comes along is in force.
    Attached {
        /// Its place in the participant's page.
        index: u32,
        /// Its epoch; zero, and no segment, while nobody is active.
        epoch: u64,
    },
    /// The segment that comes along is the participant's to write the next time that it becomes
    /// active: the one it had is in force no more.
    Next {
        /// The region's place in the participant's page.
        index: u32,
    },
    /// Somebody took over; the segment that comes along is in force.
    Segment {
        /// The region's place in the participant's page.
        index: u32,
        /// Its epoch.
        epoch: u64,
    },
    /// It is done.
    Done,
    /// It is not done.
    Refused {
        /// For programs.
        code: RefusalCode,
        /// For people: what, and the remedy.
        why: &'a str,
    },
    /// Role or epoch in the participant's page have changed: for a thread that waits for messages
    /// and not for the page.
    Office,
}

/// Why a request is not granted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum RefusalCode {
    /// No region of this name is configured.
    UnknownRegion,
    /// The process may not do this with the region.
    NotPermitted,
    /// Another participant stands for it, or it was registered already.
    Taken,
    /// Other sizes than those it has.
    OtherLayout,
    /// Another schema than the one it has.
    OtherSchema,
    /// The commit would take more of the cycle than is allowed.
    TooCostly,
    /// Too many participants or regions, or no memory.
    NoRoom,
    /// Something that is no request, or not now.
    BadRequest,
}

/// Why octets are no message.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum Malformed {
    /// Too short, or of something else.
    #[error("this is no message about regions")]
    Foreign,
    /// Of a version that is not understood here.
    #[error(
        "the other side speaks version {0}, this one {first} to {last}: update the older of the \
         two",
        first = VERSIONS.start(), last = VERSIONS.end()
    )]
    Version(u16),
    /// It breaks off, goes on behind its end, or says what cannot be.
    #[error("a message about regions that cannot be read")]
    Body,
}

/// A message is longer than [`MESSAGE_OCTETS_MAX`], or than the buffer for it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[error("a message of more than {MESSAGE_OCTETS_MAX} octets: shorten the schema or its names")]
pub struct TooLong;

/// Which side says something.
trait Message<'a>: Serialize + Deserialize<'a> {
    const KIND: u8;
    /// Whether all that the coding cannot bound is within its bounds.
    fn is_bounded(&self) -> bool;
}

impl<'a> Message<'a> for Request<'a> {
    const KIND: u8 = b'?';

    fn is_bounded(&self) -> bool {
        match self {
            Self::Hello { library, .. } => library.len() <= TEXT_OCTETS_MAX,
            Self::Register(Registration { schema, .. }) | Self::Attach { schema, .. } => {
                schema.len() <= SCHEMA_OCTETS_MAX
            }
            Self::Ready | Self::Wake { .. } | Self::Leave { .. } => true,
        }
    }
}

impl<'a> Message<'a> for Reply<'a> {
    const KIND: u8 = b'!';

    fn is_bounded(&self) -> bool {
        match self {
            Self::Welcome { daemon: text, .. } | Self::Refused { why: text, .. } => {
                text.len() <= TEXT_OCTETS_MAX
            }
            _ => true,
        }
    }
}

/// The version that a message is in, be it one that is understood here or not.
///
/// # Errors
/// It is no message.
pub fn version_of(octets: &[u8]) -> Result<u16, Malformed> {
    head_of(octets).map(|(_, version, _)| version)
}

/// A message's kind, its version and its body.
fn head_of(octets: &[u8]) -> Result<(u8, u16, &[u8]), Malformed> {
    match octets.split_first_chunk() {
        Some((&[m0, m1, m2, m3, kind, 0, low, high], body)) if [m0, m1, m2, m3] == MAGIC => {
            Ok((kind, u16::from_le_bytes([low, high]), body))
        }
        _ => Err(Malformed::Foreign),
    }
}

fn encode<'a, 'b, T: Message<'a>>(
    message: &T,
    version: u16,
    into: &'b mut [u8],
) -> Result<&'b [u8], TooLong> {
    if !message.is_bounded() {
        return Err(TooLong);
    }
    let (head, body) = into.split_at_mut_checked(HEAD_OCTETS).ok_or(TooLong)?;
    head[..4].copy_from_slice(&MAGIC);
    head[4..6].copy_from_slice(&[T::KIND, 0]);
    head[6..].copy_from_slice(&version.to_le_bytes());
    let body_octets = postcard::to_slice(message, body).map_err(|_| TooLong)?.len();
    Ok(&into[..HEAD_OCTETS + body_octets])
}

fn decode<'a, T: Message<'a>>(octets: &'a [u8]) -> Result<T, Malformed> {
    let (kind, version, body) = head_of(octets)?;
    if kind != T::KIND {
        return Err(Malformed::Foreign);
    }
    if !VERSIONS.contains(&version) {
        return Err(Malformed::Version(version));
    }
    let (message, rest): (T, _) = postcard::take_from_bytes(body).map_err(|_| Malformed::Body)?;
    if rest.is_empty() && message.is_bounded() { Ok(message) } else { Err(Malformed::Body) }
}

impl<'a> Request<'a> {
    /// The message's octets in the newest version, in `into`; [`MESSAGE_OCTETS_MAX`] always
    /// suffice.
    ///
    /// # Errors
    /// `into`, or the message's limit, is too small.
    pub fn encode<'b>(&self, into: &'b mut [u8]) -> Result<&'b [u8], TooLong> {
        self.encode_in(VERSION, into)
    }

    /// The same in another version.
    ///
    /// # Errors
    /// As there.
    pub fn encode_in<'b>(&self, version: u16, into: &'b mut [u8]) -> Result<&'b [u8], TooLong> {
        encode(self, version, into)
    }

    /// The message that `octets` are.
    ///
    /// # Errors
    /// See [`Malformed`].
    pub fn decode(octets: &'a [u8]) -> Result<Self, Malformed> {
        decode(octets)
    }
}

impl<'a> Reply<'a> {
    /// As [`Request::encode`].
    ///
    /// # Errors
    /// As there.
    pub fn encode<'b>(&self, into: &'b mut [u8]) -> Result<&'b [u8], TooLong> {
        self.encode_in(VERSION, into)
    }

    /// As [`Request::encode_in`].
    ///
    /// # Errors
    /// As there.
    pub fn encode_in<'b>(&self, version: u16, into: &'b mut [u8]) -> Result<&'b [u8], TooLong> {
        encode(self, version, into)
    }

    /// As [`Request::decode`].
    ///
    /// # Errors
    /// As there.
    pub fn decode(octets: &'a [u8]) -> Result<Self, Malformed> {
        decode(octets)
    }
}

impl Serialize for RegionName {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for RegionName {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <&str>::deserialize(deserializer)?;
        Self::new(text).map_err(|wrong: WrongName| serde::de::Error::custom(wrong))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> RegionName {
        RegionName::new(text).unwrap()
    }

    fn requests() -> Vec<Request<'static>> {
        let layout = Layout::new(65_536, 4, 3).unwrap();
        let registration = Registration {
            class: StandbyClass::Warm,
            cycle_ns: 1_000_000,
            commit_cost_ns: 2_500,
            held_epoch: 7,
            ..Registration::new(name("plant"), layout, &[1, 2, 3])
        };
        vec![
            Request::Hello { application: name("plc"), library: "0.1.0" },
            Request::Register(registration),
            Request::Ready,
            Request::Attach { region: name("plant"), schema: &[] },
            Request::Wake { region: name("plant"), wanted: true },
            Request::Leave { region: name("p") },
        ]
    }

    fn replies() -> Vec<Reply<'static>> {
        vec![
            Reply::Welcome { instance: u64::MAX, daemon: "0.1.0" },
            Reply::Registered { index: 1 },
            Reply::Attached { index: 2, epoch: 9 },
            Reply::Next { index: 2 },
            Reply::Segment { index: 2, epoch: 10 },
            Reply::Done,
            Reply::Refused { code: RefusalCode::OtherSchema, why: "use the one that it has" },
            Reply::Office,
        ]
    }

    #[test]
    fn what_is_said_is_understood() {
        let mut into = vec![0; MESSAGE_OCTETS_MAX];
        for request in requests() {
            assert_eq!(Request::decode(request.encode(&mut into).unwrap()), Ok(request));
        }
        for reply in replies() {
            assert_eq!(Reply::decode(reply.encode(&mut into).unwrap()), Ok(reply));
        }
        let Request::Register(registration) = requests()[1] else { panic!() };
        assert_eq!(registration.layout(), Layout::new(65_536, 4, 3));
    }

    #[test]
    fn a_message_on_the_wire_stays_what_it_is() {
        let mut into = [0; 64];
        let request = Request::Wake { region: name("plant"), wanted: true };
        assert_eq!(request.encode(&mut into).unwrap(), b"BMPR?\0\x01\0\x04\x05plant\x01");
        let reply = Reply::Attached { index: 1, epoch: 300 };
        assert_eq!(reply.encode(&mut into).unwrap(), b"BMPR!\0\x01\0\x02\x01\xac\x02");
        assert_eq!(Reply::Office.encode(&mut into).unwrap(), b"BMPR!\0\x01\0\x07");
    }

    #[test]
    fn the_longest_reply_has_room() {
        let text = "x".repeat(TEXT_OCTETS_MAX);
        let mut into = [0; REPLY_OCTETS_MAX];
        for reply in [
            Reply::Welcome { instance: u64::MAX, daemon: &text },
            Reply::Refused { code: RefusalCode::BadRequest, why: &text },
            Reply::Attached { index: u32::MAX, epoch: u64::MAX },
        ] {
            reply.encode(&mut into).unwrap();
        }
    }

    #[test]
    fn another_version_is_told_from_nonsense() {
        let mut into = [0; 64];
        let octets = requests()[0].encode(&mut into).unwrap();
        let mut newer = octets.to_vec();
        newer[6] = 2;
        assert_eq!(Request::decode(&newer), Err(Malformed::Version(2)));
        assert!(Malformed::Version(2).to_string().contains("speaks version 2, this one 1 to 1"));
        newer[8..].fill(0xff);
        assert_eq!(Request::decode(&newer), Err(Malformed::Version(2)), "whatever follows");
        for (index, octet) in [(0, b'b'), (4, b'!'), (5, 1)] {
            let mut foreign = octets.to_vec();
            foreign[index] = octet;
            assert_eq!(Request::decode(&foreign), Err(Malformed::Foreign));
        }
    }

    #[test]
    fn what_breaks_off_goes_on_or_cannot_be_is_refused() {
        let mut into = vec![0; MESSAGE_OCTETS_MAX];
        for request in requests() {
            let whole = request.encode(&mut into).unwrap().to_vec();
            for length in 0..whole.len() {
                assert!(Request::decode(&whole[..length]).is_err(), "{request:?} cut to {length}");
            }
            let longer = [&whole[..], &[0]].concat();
            assert_eq!(Request::decode(&longer), Err(Malformed::Body));
            for index in HEAD_OCTETS..whole.len() {
                for bit in 0..8 {
                    let mut changed = whole.clone();
                    changed[index] ^= 1 << bit;
                    // Something else that can be said, or nothing; never a panic, never too much.
                    if let Ok(Request::Register(found)) = Request::decode(&changed) {
                        let _ = found.layout();
                    }
                }
            }
        }
    }

    #[test]
    fn what_is_too_long_is_neither_said_nor_heard() {
        let schema = vec![0; SCHEMA_OCTETS_MAX + 1];
        let text = "x".repeat(TEXT_OCTETS_MAX + 1);
        let mut into = vec![0; 2 * MESSAGE_OCTETS_MAX];
        let attach = |schema| Request::Attach { region: name("plant"), schema };
        assert_eq!(attach(&schema[..]).encode(&mut into), Err(TooLong));
        assert_eq!(Reply::Welcome { instance: 1, daemon: &text }.encode(&mut into), Err(TooLong));
        let longest = attach(&schema[1..]);
        let octets = longest.encode(&mut into[..MESSAGE_OCTETS_MAX]).unwrap().len();
        assert!(octets <= MESSAGE_OCTETS_MAX);
        assert_eq!(longest.encode(&mut into[..octets - 1]), Err(TooLong));
        assert_eq!(longest.encode(&mut into[..7]), Err(TooLong));
        // One who does not keep to it.
        let region = name("plant");
        let body = postcard::to_stdvec(&Request::Attach { region, schema: &schema }).unwrap();
        let message = [b"BMPR?\0\x01\0", &body[..]].concat();
        assert_eq!(Request::decode(&message), Err(Malformed::Body));
    }
}
