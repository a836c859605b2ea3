//! What the fuzz targets of a pair's messages and sessions do with their octets. The same bodies
//! run on stable Rust (`tests/pair_octets.rs`), and under libFuzzer (`fuzz/`).

#![allow(clippy::unwrap_used, reason = "part of tests")]
#![allow(dead_code, reason = "each fuzz target uses its part")]

use std::collections::HashSet;

use rt_core::pair::beat::{Beat, Health, Word};
use rt_core::pair::wire::{self, Envelope, Keys, Kind, PairKey, Protection, Sender, beat, latch};
use rt_core::pair::wire::{BODY_OCTETS_MAX, OCTETS_MAX, question};
use rt_core::pair::{
    Accepted, Address, Blocks, Epoch, Letter, NodeId, PairId, Session, Sessions, Standing, State,
};
use rt_core::time::Instant;

/// A fuzz target: its name and its body.
pub(crate) type Target = (&'static str, fn(&[u8]));

/// Every target.
pub(crate) const TARGETS: [Target; 7] = [
    ("pair_beat", pair_beat),
    ("pair_question", pair_question),
    ("pair_answer", pair_answer),
    ("pair_claim", pair_claim),
    ("pair_claimed", pair_claimed),
    ("pair_output", pair_output),
    ("pair_sessions", pair_sessions),
];

/// The octets with a right check sum where they say that it stands.
fn summed(octets: &[u8]) -> Vec<u8> {
    let mut octets = octets.to_vec();
    let said = octets.get(8..10).map_or(0, |it| usize::from(it[0]) << 8 | usize::from(it[1]));
    if let Some(covered) = said.checked_sub(wire::TAG_OCTETS)
        && said <= octets.len()
    {
        let sum = octets[..covered].iter().fold(u32::MAX, |crc, octet| {
            (0..8).fold(crc ^ u32::from(*octet), |crc, _| {
                if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 }
            })
        });
        octets[covered..said - 4].fill(0);
        octets[said - 4..said].copy_from_slice(&(!sum).to_be_bytes());
    }
    octets
}

fn sealed() -> Protection {
    Protection::Sealed(PairKey::new([7; 32]))
}

/// Reads a message as it is and with a right check sum, by a plain and by a sealing receiver. What
/// is read has to be what its sender would write, and to survive sealing.
fn message<T: PartialEq + core::fmt::Debug>(
    octets: &[u8],
    open: impl Fn(&[u8], &mut Keys) -> Result<T, rt_core::pair::Refusal>,
    seal: impl Fn(&T, &mut Keys, &mut [u8]) -> Result<usize, wire::SealError>,
) {
    let keys_of = |protection, outside: &Envelope| {
        Keys::new(protection, outside.pair, outside.kind, outside.sender, outside.session)
    };
    for octets in [octets.to_vec(), summed(octets)] {
        let Ok(outside) = Envelope::peek(&octets) else {
            let sender = Sender::Node(NodeId::A);
            let mut keys =
                Keys::new(Protection::Plain, PairId(0), Kind::Beat, sender, Session([0; 16]));
            assert!(open(&octets, &mut keys).is_err());
            continue;
        };
        assert!(open(&octets, &mut keys_of(sealed(), &outside)).is_err(), "it was forged");
        let Ok(read) = open(&octets, &mut keys_of(Protection::Plain, &outside)) else { continue };
        let mut buffer = [0; OCTETS_MAX];
        let length = seal(&read, &mut keys_of(Protection::Plain, &outside), &mut buffer).unwrap();
        assert_eq!(octets.get(..length), buffer.get(..length));
        let length = seal(&read, &mut keys_of(sealed(), &outside), &mut buffer).unwrap();
        let found = open(&buffer[..length], &mut keys_of(sealed(), &outside));
        assert_eq!(found.as_ref(), Ok(&read));
    }
}

/// A heartbeat.
pub(crate) fn pair_beat(octets: &[u8]) {
    message(octets, beat::open, beat::seal);
}

/// A question to the witness.
pub(crate) fn pair_question(octets: &[u8]) {
    message(octets, question::open_question, question::seal_question);
}

/// An answer of the witness's.
pub(crate) fn pair_answer(octets: &[u8]) {
    message(octets, question::open_answer, question::seal_answer);
}

/// A claim to a latch.
pub(crate) fn pair_claim(octets: &[u8]) {
    message(octets, latch::open_claim, latch::seal_claim);
}

/// What a latch answers.
pub(crate) fn pair_claimed(octets: &[u8]) {
    message(octets, latch::open_claimed, latch::seal_claimed);
}

/// Outputs.
pub(crate) fn pair_output(octets: &[u8]) {
    let open = |octets: &[u8], keys: &mut Keys| {
        let mut scratch = [0; BODY_OCTETS_MAX];
        let (header, payload) = latch::open_output(octets, keys, &mut scratch)?;
        Ok((header, payload.to_vec()))
    };
    message(octets, open, |(header, payload), keys, buffer| {
        latch::seal_output(header, payload, keys, buffer)
    });
}

/// Reads decisions from octets; zeros when they are used up.
struct Choices<'a>(&'a [u8]);

impl Choices<'_> {
    fn octet(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }
}

const BEAT: Beat = Beat {
    number: 1,
    sent_at: Instant::ORIGIN,
    echo: None,
    word: Word {
        state: State::Listen,
        standing: Standing::VACANT,
        silent_to: Epoch::NONE,
        requests: false,
        grants: false,
        partner: None,
        fenced_peer: false,
        blocks: Blocks::NONE,
    },
    health: Health {
        boot: rt_core::pair::BootId([0; 16]),
        schema: 0,
        committed_cycle: 0,
        applied_cycle: 0,
        lateness: rt_core::time::Duration::ZERO,
        lateness_max: rt_core::time::Duration::ZERO,
        clock_rate_ppb: 0,
        paths: [const {
            let verdict = rt_core::pair::Verdict::Unknown;
            rt_core::pair::PathReport { verdict, received: 0, lost: 0 }
        }; 4],
    },
};

/// Two nodes that start again and again, and a network that knows all that was ever sent.
struct World {
    nodes: [Sessions; 2],
    lives: [u32; 2],
    /// With the lives of both nodes when it was made.
    recorded: Vec<(Letter, [u32; 2])>,
    taken: HashSet<(Session, u8, u64, NodeId)>,
    newest: [u32; 2],
    /// One who has the key sends what no node would.
    is_forged: bool,
}

impl World {
    fn start(id: NodeId, life: u32) -> Sessions {
        let mut session = [if id == NodeId::A { 0 } else { 1 }; 16];
        session[..4].copy_from_slice(&(life + 1).to_be_bytes());
        Sessions::new(PairId(7), id, Session(session))
    }

    fn send(&mut self, from: NodeId) -> (Letter, [u32; 2]) {
        let sender = &mut self.nodes[from.index()];
        let first = Letter {
            pair: sender.pair(),
            from,
            session: sender.session(),
            challenge: sender.challenge(),
            to: sender.address(),
            path: 0,
            counter: sender.next_counter(0),
            beat: BEAT,
        };
        let second = Letter { path: 1, counter: sender.next_counter(1), ..first };
        self.recorded.extend([(first, self.lives), (second, self.lives)]);
        (first, self.lives)
    }

    fn deliver(&mut self, (letter, lives): (Letter, [u32; 2]), to: NodeId, came_on: u8) {
        let node = &mut self.nodes[to.index()];
        let before = (node.peer(), node.challenge());
        let found = node.accept(&letter, came_on);
        let after = (node.peer(), node.challenge());
        let Ok(Accepted::Beat { crossed, restarted }) = found else {
            return assert_eq!(before, after);
        };
        assert_eq!((letter.from, after.0), (to.peer(), Some(letter.session)));
        assert_eq!(crossed, came_on != letter.path);
        assert_eq!(restarted, before.0.is_some() && before.0 != after.0);
        assert_eq!(after.1 > before.1, before.0 != after.0);
        if self.is_forged {
            return;
        }
        let peer = letter.from.index();
        assert_eq!(lives[to.index()], self.lives[to.index()], "made for another life");
        assert!(lives[peer] >= self.newest[to.index()], "of a life that is over");
        self.newest[to.index()] = lives[peer];
        assert!(self.taken.insert((letter.session, letter.path, letter.counter, to)), "twice");
    }
}

/// A history of starts, letters, and letters that are played back or made by one who has the key.
pub(crate) fn pair_sessions(octets: &[u8]) {
    let nodes = NodeId::ALL.map(|id| World::start(id, 0));
    let (recorded, taken) = (Vec::new(), HashSet::new());
    let mut world =
        World { nodes, lives: [0; 2], recorded, taken, newest: [0; 2], is_forged: false };
    let mut choices = Choices(&octets[..octets.len().min(2_000)]);
    while !choices.0.is_empty() {
        let choice = choices.octet();
        let id = NodeId::ALL[usize::from(choice & 1)];
        let came_on = choice >> 1 & 1;
        match choice >> 2 {
            0..2 => {
                world.lives[id.index()] += 1;
                world.nodes[id.index()] = World::start(id, world.lives[id.index()]);
                world.newest[id.index()] = 0;
            }
            2..24 => {
                world.send(id);
            }
            24..60 => {
                let back = usize::from(choices.octet());
                let count = world.recorded.len();
                if let Some(place) = count.checked_sub(back % (count + 1) + 1) {
                    world.deliver(world.recorded[place], id, came_on);
                }
            }
            _ => {
                let Some((letter, lives)) = world.recorded.last().copied() else { continue };
                let [what, number] = [choices.octet(), choices.octet()];
                world.is_forged = true;
                let session = Session([number; 16]);
                let challenge = u32::from(number);
                let forged = match what % 7 {
                    0 => Letter { challenge: u32::MAX - challenge, ..letter },
                    1 => Letter { session, ..letter },
                    2 => Letter { to: Some(Address { session, challenge }), ..letter },
                    3 => {
                        let to = letter.to.map(|to| Address { challenge, ..to });
                        Letter { session, to, ..letter }
                    }
                    4 => Letter { counter: u64::MAX - u64::from(number), ..letter },
                    5 => Letter { path: number, ..letter },
                    _ => Letter { pair: PairId(number.into()), ..letter },
                };
                world.deliver((forged, lives), id, came_on);
            }
        }
    }
    if world.is_forged {
        return;
    }
    for _ in 0..2 {
        for from in NodeId::ALL {
            let sent = world.send(from);
            world.deliver(sent, from.peer(), 0);
        }
    }
    let [a, b] = &world.nodes;
    assert_eq!((a.peer(), b.peer()), (Some(b.session()), Some(a.session())));
}
