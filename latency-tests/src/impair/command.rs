//! The control protocol: one JSON object per line in, one per line out.
//!
//! ```text
//! {"command":"set","pair":0,"direction":"forward","impair":{"lose":{"probability":0.2}}}
//! {"command":"clear"}        no impairments, not cut
//! {"command":"cut","direction":"backward"}      {"command":"restore"}
//! {"command":"counters"}     {"command":"quit"}
//! ```
//!
//! Without `pair` a command is for all pairs, without `direction` for both. `forward` is from the
//! first interface of the pair to the second. `set` replaces all impairments of the lanes it names;
//! a cut stays. `cut` also takes the frames that wait, as a pulled cable does: nothing leaves after
//! the answer. With `"carrier":true` both interfaces also go down, as the two ends of a pulled
//! cable do; `restore` and `clear` take them up again. Answers: `{"ok":true}`, with `"lanes":[…]`
//! for `counters` and `quit`, or `{"ok":false,"error":"…"}`.

use serde::{Deserialize, Serialize};

use super::counters::LaneReport;
use super::settings::Settings;

/// The longest line that is read.
pub const LINE_OCTETS_MAX: usize = 8_192;

/// Which lanes of a pair.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Both.
    #[default]
    Both,
    /// From the pair's first interface to its second.
    Forward,
    /// From the second to the first.
    Backward,
}

/// A command.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case", deny_unknown_fields)]
pub enum Command {
    /// Replaces the impairments.
    Set {
        /// Pair number; absent: all.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pair: Option<usize>,
        /// Lanes.
        #[serde(default)]
        direction: Direction,
        /// What is to happen from now on.
        impair: Box<Settings>,
    },
    /// Takes impairments and cut away; frames that wait keep their instants.
    Clear {
        /// Pair number; absent: all.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pair: Option<usize>,
        /// Lanes.
        #[serde(default)]
        direction: Direction,
    },
    /// Cuts the link.
    Cut {
        /// Pair number; absent: all.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pair: Option<usize>,
        /// Lanes.
        #[serde(default)]
        direction: Direction,
        /// Also take both interfaces down, so that the hosts behind them lose their carrier; both
        /// directions only.
        #[serde(default)]
        carrier: bool,
    },
    /// Mends the link.
    Restore {
        /// Pair number; absent: all.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pair: Option<usize>,
        /// Lanes.
        #[serde(default)]
        direction: Direction,
    },
    /// Asks for the counters.
    Counters {},
    /// Ends the program after the answer.
    Quit {},
}

/// The answer to a command.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Reply {
    /// Whether the command was understood and carried out.
    pub ok: bool,
    /// Why not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The counters of all lanes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lanes: Option<Vec<LaneReport>>,
}

impl Reply {
    /// Done.
    #[must_use]
    pub fn done() -> Self {
        Self { ok: true, ..Self::default() }
    }

    /// Done, with the counters.
    #[must_use]
    pub fn lanes(lanes: Vec<LaneReport>) -> Self {
        Self { ok: true, error: None, lanes: Some(lanes) }
    }

    /// Not done.
    #[must_use]
    pub fn refused(reason: impl ToString) -> Self {
        Self { ok: false, error: Some(reason.to_string()), lanes: None }
    }

    /// The answer as a line.
    #[must_use]
    pub fn line(&self) -> String {
        let mut line = serde_json::to_string(self).unwrap_or_else(|_| "{\"ok\":false}".into());
        line.push('\n');
        line
    }
}

/// Reads one line.
///
/// # Errors
/// The refusal to answer with.
pub fn read(line: &[u8]) -> Result<Command, Reply> {
    let command = serde_json::from_slice(line).map_err(Reply::refused)?;
    match command {
        Command::Cut {
            carrier: true, direction: Direction::Forward | Direction::Backward, ..
        } => Err(Reply::refused("carrier: a cable has both directions")),
        Command::Set { pair, direction, impair } => {
            let impair = Box::new(impair.check().map_err(Reply::refused)?);
            Ok(Command::Set { pair, direction, impair })
        }
        other => Ok(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_read() {
        assert_eq!(
            read(br#"{"command":"cut","pair":1,"direction":"backward"}"#),
            Ok(Command::Cut { pair: Some(1), direction: Direction::Backward, carrier: false })
        );
        assert_eq!(
            read(br#"{"command":"clear"}"#),
            Ok(Command::Clear { pair: None, direction: Direction::Both })
        );
        assert_eq!(read(br#"{"command":"counters"}"#), Ok(Command::Counters {}));
        let set = read(br#"{"command":"set","impair":{"delay_us":50000}}"#).unwrap();
        let text = serde_json::to_vec(&set).unwrap();
        assert_eq!(read(&text), Ok(set));
    }

    #[test]
    fn garbage_is_refused_with_a_reason() {
        for line in [
            &b""[..],
            b"{",
            b"null",
            b"[1,2]",
            b"\xff\xfe\x00",
            br#"{"command":"explode"}"#,
            br#"{"command":"cut","direction":"sideways"}"#,
            br#"{"command":"cut","pair":-1}"#,
            br#"{"command":"cut","direction":"forward","carrier":true}"#,
            br#"{"command":"set"}"#,
            br#"{"command":"set","impair":{"lose":{"probability":7}}}"#,
        ] {
            let refusal = read(line).unwrap_err();
            assert!(!refusal.ok && refusal.error.is_some(), "{line:?}");
        }
    }
}
