//! What the witness is asked, and what it answers.
//!
//! The body of a question:
//!
//! ```text
//!   0  wish                              1   1 read, 2 swap, 3 seed
//!   1  right                             1   of a swap: 0 member, 1 fence
//!   2  form                              1   0 DUPLEX, 1 SOLO
//!   3  0                                 1
//!   4  nonce                             8
//!  12  known                             8
//!  20  expected                          8   of a swap
//!  28  epoch: new, or to be seeded       8
//! ```
//!
//! The body of an answer:
//!
//! ```text
//!   0  flags                             1   1 register, 2 it is SOLO, 4 swapped
//!   1  whom it is for                    1   1 node A, 2 node B
//!   2  0                                 2
//!   4  the asker's session              16
//!  20  the question's counter            8
//!  28  nonce                             8
//!  36  epoch of the register             8
//! ```
//!
//! What a wish does not use is zero. A repeated question has its nonce again and a new counter: its
//! octets may differ (what is known rises), so it must not be sealed with the same one.
//!
//! A witness keeps nothing of those who ask: it finds the pair by [`Envelope::peek`], opens the
//! question with that pair's keys and answers. What it has to remember (which nonce changed the
//! register) is the register's.

use super::asking::Asked;
use super::keys::{Keys, SealError};
use super::octets::{Reader, Writer, answers, bits};
use super::{Envelope, HEADER_OCTETS, Kind, Sender, TAG_OCTETS};
use crate::pair::question::{Answer, Question, Right, Wish};
use crate::pair::{Epoch, Form, PairId, Refusal, Session, Standing};

const QUESTION: usize = 36;
const ANSWER: usize = 44;

/// Octets of a question.
pub const QUESTION_OCTETS: usize = HEADER_OCTETS + QUESTION + TAG_OCTETS;
/// Octets of an answer. They are hardly more than those of the question, so that a witness is no
/// amplifier.
pub const ANSWER_OCTETS: usize = HEADER_OCTETS + ANSWER + TAG_OCTETS;

/// A copy of a question on one path.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct QuestionLetter {
    /// The pair.
    pub pair: PairId,
    /// The asker's session; the asker stands in the question.
    pub session: Session,
    /// The path it is sent on.
    pub path: u8,
    /// From [`Keys::next_counter`].
    pub counter: u64,
    /// What is asked.
    pub question: Question,
}

impl QuestionLetter {
    /// What an answer to it says of it.
    #[must_use]
    pub const fn asked(&self) -> Asked {
        Asked { node: self.question.node, session: self.session, counter: self.counter }
    }
}

/// An answer of the witness's.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct AnswerLetter {
    /// The pair.
    pub pair: PairId,
    /// The witness's session: what it keeps in memory only is lost when it changes.
    pub session: Session,
    /// The path it is sent on.
    pub path: u8,
    /// From [`Keys::next_counter`].
    pub counter: u64,
    /// Which question.
    pub asked: Asked,
    /// The answer.
    pub answer: Answer,
}

/// Writes a question to the beginning of `buffer`; [`QUESTION_OCTETS`].
///
/// # Errors
/// It cannot be sent; nothing of it may be.
pub fn seal_question(
    letter: &QuestionLetter,
    keys: &mut Keys,
    buffer: &mut [u8],
) -> Result<usize, SealError> {
    let QuestionLetter { pair, session, path, counter, question } = *letter;
    let nothing = Standing::VACANT;
    let (wish, right, expected, standing) = match question.wish {
        Wish::Read => (1, Right::Member, Epoch::NONE, nothing),
        Wish::Swap { expected, new, right } => (2, right, expected, new),
        Wish::Seed(standing) => (3, Right::Member, Epoch::NONE, standing),
    };
    let is_solo = standing.form == Form::Solo;
    let body = buffer.get_mut(HEADER_OCTETS..).ok_or(SealError::Room)?;
    let mut writer = Writer::new(body);
    writer.put(&[wish, right as u8, u8::from(is_solo), 0]);
    writer.number(question.nonce).epoch(question.known).epoch(expected).epoch(standing.epoch);
    let octets = writer.finish().ok_or(SealError::Room)?;
    let sender = Sender::Node(question.node);
    let envelope = Envelope { kind: Kind::Question, sender, path, pair, session, counter };
    keys.seal(&envelope, octets, buffer)
}

/// Reads a question.
///
/// # Errors
/// Why it is none of this pair's.
pub fn open_question(octets: &[u8], keys: &mut Keys) -> Result<QuestionLetter, Refusal> {
    let (envelope, body) = keys.open_exactly::<QUESTION>(Kind::Question, octets)?;
    let mut from = Reader::new(&body);
    let [wish, right, form, blank] = from.take()?;
    let (nonce, known) = (from.number()?, from.epoch()?);
    let (expected, epoch) = (from.epoch()?, from.epoch()?);
    let form = if form == 0 { Form::Duplex } else { Form::Solo };
    let standing = Standing { epoch, form };
    let right_of = if right == 0 { Right::Member } else { Right::Fence };
    let is_well = match wish {
        1 => right == 0 && expected == Epoch::NONE && standing == Standing::VACANT,
        2 => true,
        _ => right == 0 && expected == Epoch::NONE,
    };
    let wish = match wish {
        1 => Wish::Read,
        2 => Wish::Swap { expected, new: standing, right: right_of },
        3 => Wish::Seed(standing),
        _ => return Err(Refusal::Content),
    };
    if !is_well || body[1] > 1 || body[2] > 1 || blank != 0 {
        return Err(Refusal::Content);
    }
    let node = envelope.sender.node().ok_or(Refusal::Content)?;
    let Envelope { pair, session, path, counter, .. } = envelope;
    let question = Question { node, nonce, known, wish };
    Ok(QuestionLetter { pair, session, path, counter, question })
}

/// Writes an answer to the beginning of `buffer`; [`ANSWER_OCTETS`].
///
/// # Errors
/// It cannot be sent; nothing of it may be.
pub fn seal_answer(
    letter: &AnswerLetter,
    keys: &mut Keys,
    buffer: &mut [u8],
) -> Result<usize, SealError> {
    let AnswerLetter { pair, session, path, counter, asked, answer } = *letter;
    let register = answer.register.unwrap_or(Standing::VACANT);
    let is_solo = register.form == Form::Solo;
    let body = buffer.get_mut(HEADER_OCTETS..).ok_or(SealError::Room)?;
    let mut writer = Writer::new(body);
    let flags = bits([answer.register.is_some(), is_solo, answer.swapped]);
    writer.put(&[flags, Sender::Node(asked.node).number(), 0, 0]).put(&asked.session.0);
    writer.number(asked.counter).number(answer.nonce).epoch(register.epoch);
    let octets = writer.finish().ok_or(SealError::Room)?;
    let sender = Sender::Witness;
    let envelope = Envelope { kind: Kind::Answer, sender, path, pair, session, counter };
    keys.seal(&envelope, octets, buffer)
}

/// Reads an answer. Whether it is to be taken is [`super::Asking::accept`]'s word.
///
/// # Errors
/// Why it is none of this pair's.
pub fn open_answer(octets: &[u8], keys: &mut Keys) -> Result<AnswerLetter, Refusal> {
    let (envelope, body) = keys.open_exactly::<ANSWER>(Kind::Answer, octets)?;
    let mut from = Reader::new(&body);
    let [has_register, is_solo, swapped] = answers(from.octet()?)?;
    let node = Sender::from_number(from.octet()?).and_then(Sender::node);
    let node = node.ok_or(Refusal::Content)?;
    from.blank::<2>()?;
    let asked = Asked { node, session: from.session()?, counter: from.number()? };
    let (nonce, epoch) = (from.number()?, from.epoch()?);
    let standing = Standing { epoch, form: if is_solo { Form::Solo } else { Form::Duplex } };
    if !has_register && standing != Standing::VACANT {
        return Err(Refusal::Content);
    }
    let answer = Answer { nonce, register: has_register.then_some(standing), swapped };
    let Envelope { pair, session, path, counter, .. } = envelope;
    Ok(AnswerLetter { pair, session, path, counter, asked, answer })
}
