//! Heartbeats: a [`Letter`] as octets.
//!
//! ```text
//!   0  challenge                         4
//!   4  flags                             1   1 to, 2 echo, 4 partner, 8 requests, 16 grants,
//!                                            32 fenced peer, 64 standing is SOLO
//!   5  state                             1
//!   6  verdict on each path              4
//!  10  0                                 2
//!  12  to: session, challenge           20   zeros without
//!  32  number                            8
//!  40  sent at                           8
//!  48  echo: number, sent at, age       24   zeros without
//!  72  epoch of the standing             8
//!  80  silent to                         8
//!  88  partner                          16   zeros without
//! 104  blocks                            4   unknown bits are kept
//! 108  clock rate                        4
//! 112  boot                             16
//! 128  schema                            8
//! 136  committed cycle, applied cycle   16
//! 152  lateness, the latest             16
//! 168  received on each path            32
//! 200  lost on each path                32
//! ```
//!
//! behind the envelope's header ([`super`]); instants and spans are nanoseconds. A beat is always
//! as long, so that its length tells a listener nothing and no time to send it differs.

use super::keys::{Keys, SealError};
use super::octets::{CLOCK_MAX_NS, Reader, Writer, answers, bits};
use super::{Envelope, HEADER_OCTETS, Kind, Sender, TAG_OCTETS};
use crate::pair::beat::{Beat, BootId, Echo, Health, PATHS_MAX, PathReport, Verdict, Word};
use crate::pair::{Address, Blocks, Form, Letter, Refusal, Standing, State};
use crate::time::Instant;

const BODY: usize = 232;

/// Octets of a beat.
pub const OCTETS: usize = HEADER_OCTETS + BODY + TAG_OCTETS;

/// Writes a letter to the beginning of `buffer`, and says how long it is: [`OCTETS`].
///
/// # Errors
/// It cannot be sent; nothing of it may be.
pub fn seal(letter: &Letter, keys: &mut Keys, buffer: &mut [u8]) -> Result<usize, SealError> {
    let instants = [Some(letter.beat.sent_at), letter.beat.echo.map(|it| it.sent_at)];
    if instants.into_iter().flatten().any(|it| it.as_nanos() > CLOCK_MAX_NS) {
        return Err(SealError::Content);
    }
    let body = buffer.get_mut(HEADER_OCTETS..HEADER_OCTETS + BODY).ok_or(SealError::Room)?;
    let mut writer = Writer::new(body);
    write(letter, &mut writer);
    let octets = writer.finish().ok_or(SealError::Room)?;
    let envelope = Envelope {
        kind: Kind::Beat,
        sender: Sender::Node(letter.from),
        path: letter.path,
        pair: letter.pair,
        session: letter.session,
        counter: letter.counter,
    };
    keys.seal(&envelope, octets, buffer)
}

/// Reads what came, from the magic on.
///
/// # Errors
/// Why it is no letter of this pair's.
pub fn open(octets: &[u8], keys: &mut Keys) -> Result<Letter, Refusal> {
    let (envelope, body) = keys.open_exactly::<BODY>(Kind::Beat, octets)?;
    read(&envelope, Reader::new(&body))
}

fn write(letter: &Letter, into: &mut Writer<'_>) {
    let Beat { number, sent_at, echo, word, health } = letter.beat;
    let flags = bits([
        letter.to.is_some(),
        echo.is_some(),
        word.partner.is_some(),
        word.requests,
        word.grants,
        word.fenced_peer,
        word.standing.form == Form::Solo,
    ]);
    into.word(letter.challenge).put(&[flags, word.state.number()]);
    into.put(&health.paths.map(|it| it.verdict as u8)).put(&[0; 2]);
    let to = letter.to.map_or(([0; 16], 0), |it| (it.session.0, it.challenge));
    into.put(&to.0).word(to.1);
    into.number(number).instant(sent_at);
    let none = Echo { number: 0, sent_at: Instant::ORIGIN, age: crate::time::Duration::ZERO };
    let echo = echo.unwrap_or(none);
    into.number(echo.number).instant(echo.sent_at).span(echo.age);
    into.epoch(word.standing.epoch).epoch(word.silent_to);
    into.put(&word.partner.map_or([0; 16], |it| it.0));
    into.word(word.blocks.bits()).put(&health.clock_rate_ppb.to_be_bytes());
    into.put(&health.boot.0).number(health.schema);
    into.number(health.committed_cycle).number(health.applied_cycle);
    into.span(health.lateness).span(health.lateness_max);
    for path in health.paths {
        into.number(path.received);
    }
    for path in health.paths {
        into.number(path.lost);
    }
}

fn read(envelope: &Envelope, mut from: Reader<'_>) -> Result<Letter, Refusal> {
    let sender = envelope.sender.node().ok_or(Refusal::Content)?;
    let challenge = from.word()?;
    let flags = answers(from.octet()?)?;
    let [has_to, has_echo, has_partner, requests, grants, fenced_peer, is_solo] = flags;
    let state = State::from_number(from.octet()?).ok_or(Refusal::Content)?;
    let mut paths = [PathReport::default(); PATHS_MAX];
    for path in &mut paths {
        let verdict = Verdict::ALL.get(usize::from(from.octet()?));
        path.verdict = *verdict.ok_or(Refusal::Content)?;
    }
    from.blank::<2>()?;
    let to =
        from.maybe(has_to, 20, |it| Ok(Address { session: it.session()?, challenge: it.word()? }))?;
    let (number, sent_at) = (from.number()?, from.instant()?);
    let echo = from.maybe(has_echo, 24, |it| {
        Ok(Echo { number: it.number()?, sent_at: it.instant()?, age: it.span()? })
    })?;
    let form = if is_solo { Form::Solo } else { Form::Duplex };
    let standing = Standing { epoch: from.epoch()?, form };
    let silent_to = from.epoch()?;
    let partner = from.maybe(has_partner, 16, Reader::session)?;
    let blocks = Blocks::from_bits(from.word()?);
    let clock_rate_ppb = from.take().map(i32::from_be_bytes)?;
    let mut health = Health {
        boot: BootId(from.take()?),
        schema: from.number()?,
        committed_cycle: from.number()?,
        applied_cycle: from.number()?,
        lateness: from.span()?,
        lateness_max: from.span()?,
        clock_rate_ppb,
        paths,
    };
    for path in &mut health.paths {
        path.received = from.number()?;
    }
    for path in &mut health.paths {
        path.lost = from.number()?;
    }
    let word = Word { state, standing, silent_to, requests, grants, partner, fenced_peer, blocks };
    Ok(Letter {
        pair: envelope.pair,
        from: sender,
        session: envelope.session,
        challenge,
        to,
        path: envelope.path,
        counter: envelope.counter,
        beat: Beat { number, sent_at, echo, word, health },
    })
}
