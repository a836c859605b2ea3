//! Two nodes, and a network that records everything and plays it back as it likes.

use std::collections::HashSet;

use proptest::prelude::*;

use super::*;
use crate::pair::beat::{Beat, Health, Word};
use crate::pair::{Blocks, Epoch, Standing, State};
use crate::time::Instant;

const PAIR: PairId = PairId(7);

fn beat() -> Beat {
    let word = Word {
        state: State::Listen,
        standing: Standing::VACANT,
        silent_to: Epoch::NONE,
        requests: false,
        grants: false,
        partner: None,
        fenced_peer: false,
        blocks: Blocks::NONE,
    };
    Beat { number: 1, sent_at: Instant::ORIGIN, echo: None, word, health: Health::default() }
}

fn session(number: u32) -> Session {
    let mut octets = [0; 16];
    octets[..4].copy_from_slice(&number.to_be_bytes());
    Session(octets)
}

fn node(id: NodeId, number: u32) -> Sessions {
    Sessions::new(PAIR, id, session(number))
}

fn send(from: &mut Sessions, path: u8) -> Letter {
    Letter {
        pair: from.pair,
        from: from.me,
        session: from.session,
        challenge: from.challenge(),
        to: from.address(),
        path,
        counter: from.next_counter(path),
        beat: beat(),
    }
}

const BEAT: Result<Accepted, Refusal> = Ok(Accepted::Beat { crossed: false, restarted: false });
const RESTARTED: Result<Accepted, Refusal> = Ok(Accepted::Beat { crossed: false, restarted: true });
const HELLO: Result<Accepted, Refusal> = Ok(Accepted::Hello);

fn established() -> (Sessions, Sessions) {
    let (mut a, mut b) = (node(NodeId::A, 1), node(NodeId::B, 2));
    assert_eq!(b.accept(&send(&mut a, 0), 0), HELLO);
    assert_eq!(a.accept(&send(&mut b, 0), 0), BEAT);
    assert_eq!(b.accept(&send(&mut a, 0), 0), BEAT);
    (a, b)
}

#[test]
fn one_round_trip_establishes_both_and_every_letter_counts_from_then_on() {
    let (mut a, mut b) = established();
    assert_eq!((a.peer(), b.peer()), (Some(session(2)), Some(session(1))));
    for path in [0, 1, 3] {
        assert_eq!(a.accept(&send(&mut b, path), path), BEAT);
        assert_eq!(b.accept(&send(&mut a, path), path), BEAT);
    }
}

#[test]
fn a_peer_that_restarts_is_known_again_after_one_round_trip() {
    let (mut a, _) = established();
    let mut b = node(NodeId::B, 3);
    assert_eq!(a.accept(&send(&mut b, 0), 0), HELLO);
    assert_eq!(a.peer(), Some(session(2)));
    assert_eq!(b.accept(&send(&mut a, 0), 0), BEAT);
    assert_eq!(a.accept(&send(&mut b, 0), 0), RESTARTED);
    assert_eq!(a.peer(), Some(session(3)));
}

#[test]
fn a_node_that_restarts_needs_no_more_than_to_hear_its_peer_once() {
    let (_, mut b) = established();
    let mut a = node(NodeId::A, 4);
    // Meant for its former life; it teaches all the same.
    assert_eq!(a.accept(&send(&mut b, 0), 0), HELLO);
    assert_eq!(b.accept(&send(&mut a, 0), 0), RESTARTED);
    assert_eq!(a.accept(&send(&mut b, 0), 0), BEAT);
}

#[test]
fn what_a_former_session_said_is_never_taken_again_and_teaches_nothing() {
    let (mut a, mut b) = established();
    let withheld = send(&mut b, 0);
    let mut b = node(NodeId::B, 3);
    a.accept(&send(&mut b, 0), 0).unwrap();
    b.accept(&send(&mut a, 0), 0).unwrap();
    assert_eq!(a.accept(&send(&mut b, 0), 0), RESTARTED);
    let before = a.clone();
    assert_eq!(a.accept(&withheld, 0), Err(Refusal::FormerSession));
    assert_eq!(a, before);
}

#[test]
fn a_letter_is_taken_once_on_each_path_in_any_order_within_the_window() {
    let (mut a, mut b) = established();
    let letters: Vec<_> = (0..128).map(|_| send(&mut b, 1)).collect();
    for letter in letters.iter().rev() {
        assert_eq!(a.accept(letter, 1), BEAT);
    }
    for letter in &letters {
        assert_eq!(a.accept(letter, 1), Err(Refusal::Replayed));
    }
    let old = send(&mut b, 1);
    for _ in 0..127 {
        send(&mut b, 1);
    }
    assert_eq!(a.accept(&send(&mut b, 1), 1), BEAT);
    assert_eq!(a.accept(&old, 1), Err(Refusal::Replayed), "too old to know");
}

#[test]
fn what_comes_on_another_path_than_it_was_sent_on_is_taken_and_said() {
    let (mut a, mut b) = established();
    let letter = send(&mut b, 0);
    let crossed = Ok(Accepted::Beat { crossed: true, restarted: false });
    assert_eq!(a.accept(&letter, 1), crossed);
    assert_eq!(a.accept(&letter, 0), Err(Refusal::Replayed), "the same copy, come twice");
}

#[test]
fn each_that_is_not_the_peers_is_refused_by_its_reason_and_changes_nothing() {
    let (mut a, mut b) = established();
    assert_eq!(a.accept(&send(&mut b, 0), 0), BEAT);
    let letter = send(&mut b, 0);
    let before = a.clone();
    let refused = |a: &mut Sessions, letter: Letter, came_on, expected| {
        assert_eq!(a.accept(&letter, came_on), Err(expected));
        assert_eq!(*a, before, "{expected:?}");
    };
    let foreign = Letter { pair: PairId(8), ..letter };
    refused(&mut a, foreign, 0, Refusal::ForeignPair);
    let twin = Letter { from: NodeId::A, ..letter };
    refused(&mut a, twin, 0, Refusal::OwnNode);
    let own = Letter { from: NodeId::A, session: session(1), ..letter };
    refused(&mut a, own, 0, Refusal::OwnSession);
    refused(&mut a, Letter { path: 4, ..letter }, 0, Refusal::UnknownPath);
    refused(&mut a, letter, 4, Refusal::UnknownPath);
    refused(&mut a, Letter { to: None, ..letter }, 0, Refusal::NotAddressed);
    let to = Some(Address { session: session(9), challenge: 1 });
    refused(&mut a, Letter { to, ..letter }, 0, Refusal::NotAddressed);
    let to = Some(Address { session: session(1), challenge: 0 });
    refused(&mut a, Letter { to, ..letter }, 0, Refusal::NotAddressed);
    let to = Some(Address { session: session(1), challenge: 3 });
    refused(&mut a, Letter { to, ..letter }, 0, Refusal::NotAddressed);
    refused(&mut a, Letter { counter: 0, ..letter }, 0, Refusal::Replayed);
    assert_eq!(a.accept(&letter, 0), BEAT);
}

#[test]
fn challenges_do_not_wrap() {
    let (mut a, _) = established();
    a.challenge = u32::MAX;
    let mut b = node(NodeId::B, 3);
    assert_eq!(a.accept(&send(&mut b, 0), 0), HELLO);
    b.accept(&send(&mut a, 0), 0).unwrap();
    assert_eq!(a.accept(&send(&mut b, 0), 0), Err(Refusal::ChallengesSpent));
    assert_eq!((a.peer(), a.challenge), (Some(session(2)), u32::MAX));
}

#[test]
fn counters_end_and_do_not_wrap() {
    let (mut a, _) = established();
    assert_eq!(a.next_counter(4), 0);
    a.sent[2] = u64::MAX - 1;
    assert_eq!([(); 3].map(|()| a.next_counter(2)), [u64::MAX, 0, 0]);
}

#[test]
fn two_nodes_of_one_name_do_not_get_old_letters_taken() {
    let (mut a, mut first) = established();
    let early = send(&mut first, 0);
    assert_eq!(a.accept(&early, 0), BEAT);
    let mut second = node(NodeId::B, 3);
    a.accept(&send(&mut second, 0), 0).unwrap();
    second.accept(&send(&mut a, 0), 0).unwrap();
    assert_eq!(a.accept(&send(&mut second, 0), 0), RESTARTED);
    // The first one hears the challenge and comes back.
    assert_eq!(first.accept(&send(&mut a, 0), 0), Err(Refusal::NotAddressed));
    assert_eq!(a.accept(&send(&mut first, 0), 0), RESTARTED);
    assert_eq!(a.accept(&early, 0), Err(Refusal::NotAddressed));
}

#[test]
fn playing_back_what_dead_sessions_said_costs_a_pair_one_beat_of_four() {
    let ghosts: Vec<_> = (100..140).map(|it| send(&mut node(NodeId::B, it), 0)).collect();
    let (mut a, mut b) = established();
    let (mut lost, mut lost_before) = (0, false);
    for round in 0..400 {
        a.accept(&ghosts[round % ghosts.len()], 1).unwrap();
        let taken = b.accept(&send(&mut a, 0), 0).is_ok();
        lost += u32::from(!taken);
        assert!(taken || !lost_before, "two in a row at {round}");
        lost_before = !taken;
        assert_eq!(a.accept(&send(&mut b, 0), 0), BEAT);
    }
    assert_eq!(lost, 100);
}

/// What the world does.
#[derive(Clone, Debug)]
enum Act {
    Restart(NodeId),
    Send(NodeId),
    /// Whatever was ever sent, counted from the newest, comes to a node.
    Deliver {
        which: prop::sample::Index,
        to: NodeId,
        came_on: u8,
    },
    /// The same of the last few.
    Recent {
        back: usize,
        to: NodeId,
        came_on: u8,
    },
}

fn act() -> impl Strategy<Value = Act> {
    let id = || prop::sample::select(NodeId::ALL.to_vec());
    prop_oneof![
        1 => id().prop_map(Act::Restart),
        6 => id().prop_map(Act::Send),
        4 => (any::<prop::sample::Index>(), id(), 0..2_u8)
            .prop_map(|(which, to, came_on)| Act::Deliver { which, to, came_on }),
        8 => (0..4_usize, id(), 0..2_u8)
            .prop_map(|(back, to, came_on)| Act::Recent { back, to, came_on }),
    ]
}

/// A letter, and the lives of both nodes when it was made.
type Recorded = (Letter, [u32; 2]);

struct World {
    nodes: [Sessions; 2],
    /// How often each node was started: its session's number is made of it.
    lives: [u32; 2],
    recorded: Vec<Recorded>,
    taken: HashSet<(Session, u8, u64, NodeId)>,
    /// The latest life of its peer's of which each node took a beat.
    newest: [u32; 2],
}

impl World {
    fn new() -> Self {
        let nodes = NodeId::ALL.map(|id| node(id, Self::number(id, 0)));
        let recorded = Vec::new();
        Self { nodes, lives: [0; 2], recorded, taken: HashSet::new(), newest: [0; 2] }
    }

    fn number(id: NodeId, life: u32) -> u32 {
        life * 2 + u32::from(id == NodeId::B)
    }

    fn restart(&mut self, id: NodeId) {
        self.lives[id.index()] += 1;
        self.nodes[id.index()] = node(id, Self::number(id, self.lives[id.index()]));
        self.newest[id.index()] = 0;
    }

    /// A beat on two paths.
    fn send(&mut self, from: NodeId) -> Recorded {
        let sender = &mut self.nodes[from.index()];
        let first = send(sender, 0);
        let second = Letter { path: 1, counter: sender.next_counter(1), ..first };
        self.recorded.extend([(first, self.lives), (second, self.lives)]);
        (first, self.lives)
    }

    /// Whether it was taken. What must never be is an assertion.
    fn deliver(&mut self, (letter, lives): Recorded, to: NodeId, came_on: u8) -> bool {
        let before = self.nodes[to.index()].clone();
        let found = self.nodes[to.index()].accept(&letter, came_on);
        let after = &self.nodes[to.index()];
        let Ok(Accepted::Beat { crossed, restarted }) = found else {
            assert_eq!((before.peer(), before.challenge), (after.peer(), after.challenge));
            return false;
        };
        let peer = letter.from.index();
        assert_eq!(letter.from, to.peer());
        assert_eq!(after.peer(), Some(letter.session));
        assert_eq!(crossed, came_on != letter.path);
        assert_eq!(restarted, before.peer().is_some() && before.peer() != after.peer());
        assert_eq!(after.challenge > before.challenge, before.peer() != after.peer());
        assert_eq!(lives[to.index()], self.lives[to.index()], "made for another life of mine");
        assert!(lives[peer] >= self.newest[to.index()], "made before a session already taken");
        self.newest[to.index()] = lives[peer];
        let copy = (letter.session, letter.path, letter.counter, to);
        assert!(self.taken.insert(copy), "taken twice");
        true
    }

    fn act(&mut self, act: Act) {
        match act {
            Act::Restart(id) => self.restart(id),
            Act::Send(from) => {
                self.send(from);
            }
            Act::Deliver { which, to, came_on } if !self.recorded.is_empty() => {
                let letter = self.recorded[which.index(self.recorded.len())];
                self.deliver(letter, to, came_on);
            }
            Act::Recent { back, to, came_on } if back < self.recorded.len() => {
                let letter = self.recorded[self.recorded.len() - 1 - back];
                self.deliver(letter, to, came_on);
            }
            Act::Deliver { .. } | Act::Recent { .. } => {}
        }
    }

    fn round_trip(&mut self, first: NodeId, together: bool) -> [bool; 2] {
        let there = self.send(first);
        if together {
            let back = self.send(first.peer());
            [self.deliver(there, first.peer(), 0), self.deliver(back, first, 0)]
        } else {
            let came = self.deliver(there, first.peer(), 0);
            let back = self.send(first.peer());
            [came, self.deliver(back, first, 0)]
        }
    }

    fn are_established(&self) -> bool {
        let [a, b] = &self.nodes;
        a.peer() == Some(b.session) && b.peer() == Some(a.session)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn whatever_is_played_back_nothing_of_a_former_life_is_taken_and_nothing_twice(
        acts in prop::collection::vec(act(), 1..120),
        first in prop::sample::select(NodeId::ALL.to_vec()),
    ) {
        let mut world = World::new();
        for act in acts {
            world.act(act);
        }
        for _ in 0..2 {
            world.round_trip(first, false);
        }
        prop_assert!(world.are_established());
        // One answer at most is still owed to a session that is none.
        let mut lost = [0; 2];
        for _ in 0..12 {
            for (lost, came) in lost.iter_mut().zip(world.round_trip(first, false)) {
                *lost += u32::from(!came);
            }
        }
        prop_assert!(lost.iter().all(|lost| *lost <= 1), "{:?}", lost);
    }

    #[test]
    fn nodes_that_always_speak_at_once_find_each_other_too(
        acts in prop::collection::vec(act(), 1..120),
    ) {
        let mut world = World::new();
        for act in acts {
            world.act(act);
        }
        for _ in 0..3 {
            world.round_trip(NodeId::A, true);
        }
        prop_assert!(world.are_established());
    }

    #[test]
    fn a_pair_without_losses_never_misses_two_beats_in_a_row_whatever_is_played_back(
        before in prop::collection::vec(act(), 1..60),
        played in prop::collection::vec(
            prop::collection::vec((any::<prop::sample::Index>(), 0..2_u8), 0..6), 1..40),
    ) {
        let mut world = World::new();
        for act in before {
            world.act(act);
        }
        for _ in 0..2 {
            world.round_trip(NodeId::A, false);
        }
        prop_assert!(world.are_established());
        let mut came = [[true; 2]; 2];
        for copies in played {
            for (which, came_on) in copies {
                let letter = world.recorded[which.index(world.recorded.len())];
                for to in NodeId::ALL {
                    world.deliver(letter, to, came_on);
                }
            }
            came = [came[1], world.round_trip(NodeId::A, false)];
            let [before, now] = came;
            prop_assert!((before[0] || now[0]) && (before[1] || now[1]), "two in a row");
            prop_assert!(world.are_established());
        }
    }
}
