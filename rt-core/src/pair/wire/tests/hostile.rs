//! From octets to what is taken: each hostile message is counted as what it is, and changes
//! nothing.

use super::super::beat::{OCTETS, open, seal};
use super::*;
use crate::pair::beat::{Beat, Health, Word};
use crate::pair::{Accepted, Blocks, Epoch, Letter, Refusals, Sessions, Standing, State};
use crate::time::Instant;

/// A node with its keys, and what it refused.
struct Node {
    me: NodeId,
    sessions: Sessions,
    keys: Keys,
    refusals: Refusals,
}

impl Node {
    fn new(me: NodeId, pair: PairId, protection: Protection, session: Session) -> Self {
        let keys = Keys::new(protection, pair, Kind::Beat, Sender::Node(me), session);
        Self { me, sessions: Sessions::new(pair, me, session), keys, refusals: Refusals::NONE }
    }

    fn send(&mut self) -> Vec<u8> {
        let word = Word {
            state: State::Standby,
            standing: Standing::VACANT,
            silent_to: Epoch::NONE,
            requests: false,
            grants: false,
            partner: None,
            fenced_peer: false,
            blocks: Blocks::NONE,
        };
        let health = Health::default();
        let letter = Letter {
            pair: self.sessions.pair(),
            from: self.me,
            session: self.sessions.session(),
            challenge: self.sessions.challenge(),
            to: self.sessions.address(),
            path: 0,
            counter: self.sessions.next_counter(0),
            beat: Beat { number: 1, sent_at: Instant::ORIGIN, echo: None, word, health },
        };
        let mut octets = [0; OCTETS];
        seal(&letter, &mut self.keys, &mut octets).unwrap();
        octets.to_vec()
    }

    fn take(&mut self, octets: &[u8]) -> Result<Accepted, Refusal> {
        let opened = open(octets, &mut self.keys);
        let taken = opened.and_then(|letter| self.sessions.accept(&letter, 0));
        self.keys.keep(self.sessions.peer());
        taken.inspect_err(|refusal| self.refusals.count(*refusal))
    }
}

fn established(protection: &Protection) -> (Node, Node) {
    let mut a = Node::new(NodeId::A, PAIR, protection.clone(), MINE);
    let mut b = Node::new(NodeId::B, PAIR, protection.clone(), THEIRS);
    b.take(&a.send()).unwrap();
    a.take(&b.send()).unwrap();
    b.take(&a.send()).unwrap();
    (a, b)
}

/// A beat with an instant of 292 years, which no `seal` makes.
fn far_clock(plain: &[u8]) -> Vec<u8> {
    let mut octets = plain.to_vec();
    let change = |it: &mut [u8]| it[HEADER_OCTETS + 40] = 0x80;
    forged(plain, change, |changed| {
        octets.copy_from_slice(changed);
        Ok(())
    })
    .unwrap();
    octets
}

#[test]
fn every_hostile_message_is_counted_as_what_it_is_and_changes_nothing() {
    let (mut a, mut b) = established(&sealed());
    let taken = a.send();
    b.take(&taken).unwrap();
    let fresh = a.send();
    let mut changed = fresh.clone();
    changed[HEADER_OCTETS + 40] ^= 0x80;
    let wrong_key = Protection::Sealed(PairKey::new([1; 32]));
    let own = b.send();
    let stranger = |pair, protection, me, session| Node::new(me, pair, protection, session).send();
    let other = Session([9; 16]);
    let hostile = [
        (taken, Refusal::Replayed),
        (changed, Refusal::Authentication),
        (stranger(PAIR, wrong_key, NodeId::A, other), Refusal::Authentication),
        (fresh[..OCTETS - 1].to_vec(), Refusal::Length),
        (stranger(PairId(1), sealed(), NodeId::A, other), Refusal::ForeignPair),
        (stranger(PAIR, Protection::Plain, NodeId::A, other), Refusal::Protection),
        (stranger(PAIR, sealed(), NodeId::B, other), Refusal::OwnNode),
        (own, Refusal::OwnSession),
        (b"BMPL".to_vec(), Refusal::Length),
        (b"hello".to_vec(), Refusal::NotOurs),
    ];
    let before = b.sessions.clone();
    let mut expected = Refusals::NONE;
    for (octets, refusal) in hostile {
        assert_eq!(b.take(&octets), Err(refusal));
        expected.count(refusal);
        assert_eq!((&b.sessions, b.refusals), (&before, expected), "{refusal}");
    }
    let beat = Accepted::Beat { crossed: false, restarted: false };
    assert_eq!(b.take(&fresh), Ok(beat), "what was copied is taken all the same");
}

#[test]
fn a_clock_that_is_far_off_is_refused_in_a_plain_pair_too() {
    let (mut a, mut b) = established(&Protection::Plain);
    let before = b.sessions.clone();
    assert_eq!(b.take(&far_clock(&a.send())), Err(Refusal::FarClock));
    assert_eq!((&b.sessions, b.refusals.of(Refusal::FarClock)), (&before, 1));
}
