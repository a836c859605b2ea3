//! What goes over the control socket.
//!
//! | Direction | Line |
//! |---|---|
//! | → | `{"request":"status"}` (or `nodes`, `counters`, `events`, `regions`) |
//! | ← | `{"reply":"status","document":{…}}` |
//! | ← | `{"reply":"refused","code":"busy","message":"…"}` |
//! | → | `{"request":"switchover","application":"plc"}` |
//! | → | `{"request":"drop","region":"plant"}`, answered with what there is then |
//! | → | `{"request":"events","follow":true}` |
//! | ← | `{"reply":"events","document":{…}}`, then one `{"sequence":…}` line per event |

use rt_core::limits::CONTROL_REQUEST_OCTETS_MAX;
use serde::{Deserialize, Serialize};
use shm_replica::segment::RegionName;

use crate::report::Document;

/// The longest request in octets, its line feed included.
pub const REQUEST_OCTETS_MAX: usize = CONTROL_REQUEST_OCTETS_MAX;

/// The longest reply line a client reads: 16,384 nodes at 350 octets, with room.
pub const REPLY_OCTETS_MAX: usize = 16 * 1024 * 1024;

/// What a client can ask.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(try_from = "Line", into = "Line")]
pub enum Request {
    /// The status document.
    Status,
    /// The node table.
    Nodes,
    /// The counters.
    Counters,
    /// The events that are kept.
    Events {
        /// Whether to go on with one line per event until the client closes.
        follow: bool,
    },
    /// Applications and regions.
    Regions,
    /// Make the standby of an application active, in the place of whoever is.
    Switchover {
        /// Which; the only one.
        application: Option<RegionName>,
    },
    /// Give up the last state of a region.
    Drop {
        /// Which.
        region: RegionName,
    },
}

impl Request {
    /// Whether it changes something.
    #[must_use]
    pub const fn is_order(&self) -> bool {
        matches!(self, Self::Switchover { .. } | Self::Drop { .. })
    }
}

/// A request as it stands on the wire. A tagged enumeration would let unknown keys pass where a
/// request has none of its own.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    request: Word,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    follow: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    application: Option<RegionName>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    region: Option<RegionName>,
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Word {
    Status,
    Nodes,
    Counters,
    Events,
    Regions,
    Switchover,
    Drop,
}

impl TryFrom<Line> for Request {
    type Error = &'static str;

    fn try_from(line: Line) -> Result<Self, &'static str> {
        let Line { request, follow, application, region } = line;
        match (request, follow, application, region) {
            (Word::Events, follow, None, None) => {
                Ok(Self::Events { follow: follow.unwrap_or(false) })
            }
            (Word::Switchover, None, application, None) => Ok(Self::Switchover { application }),
            (Word::Drop, None, None, Some(region)) => Ok(Self::Drop { region }),
            (Word::Drop, ..) | (.., Some(_)) => {
                Err("a drop, and nothing else, names a region and nothing else")
            }
            (_, Some(_), ..) => Err("only events can be followed"),
            (_, _, Some(_), _) => Err("only a switchover names an application"),
            (Word::Status, None, None, None) => Ok(Self::Status),
            (Word::Nodes, None, None, None) => Ok(Self::Nodes),
            (Word::Counters, None, None, None) => Ok(Self::Counters),
            (Word::Regions, None, None, None) => Ok(Self::Regions),
        }
    }
}

impl From<Request> for Line {
    fn from(request: Request) -> Self {
        let line = |request| Self { request, follow: None, application: None, region: None };
        match request {
            Request::Status => line(Word::Status),
            Request::Nodes => line(Word::Nodes),
            Request::Counters => line(Word::Counters),
            Request::Events { follow } => Self { follow: Some(follow), ..line(Word::Events) },
            Request::Regions => line(Word::Regions),
            Request::Switchover { application } => Self { application, ..line(Word::Switchover) },
            Request::Drop { region } => Self { region: Some(region), ..line(Word::Drop) },
        }
    }
}

/// What a client gets.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Reply {
    /// What it asked for.
    Document(Document),
    /// Why it does not get it.
    Refused(Refusal),
}

/// Why a client gets no document.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "reply", rename = "refused")]
pub struct Refusal {
    /// For programs.
    pub code: RefusalCode,
    /// For people.
    pub message: String,
}

/// Why a client gets no document.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefusalCode {
    /// Too many clients, or too much waiting to be read by them; ask again.
    Busy,
    /// The request is no request.
    BadRequest,
    /// The request did not arrive in time, or the answer was not ready in time.
    TimedOut,
    /// The daemon cannot answer this now.
    Unavailable,
    /// What was ordered cannot be done as things are.
    NotPossible,
    /// This client may ask, and order nothing.
    NotPermitted,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_read_as_documented() {
        let read = |text: &str| serde_json::from_str::<Request>(text).ok();
        assert_eq!(read(r#"{"request":"status"}"#), Some(Request::Status));
        assert_eq!(read(r#"{"request":"events"}"#), Some(Request::Events { follow: false }));
        let follow = r#"{"request":"events","follow":true}"#;
        assert_eq!(read(follow), Some(Request::Events { follow: true }));
        for bad in [
            "",
            "{}",
            "[]",
            r#"{"request":"stop"}"#,
            r#"{"request":"events","x":1}"#,
            r#"{"request":"status","x":1}"#,
            r#"{"request":"nodes","follow":true}"#,
            r#"{"request":"status","application":"plc"}"#,
            r#"{"request":"switchover","application":"a/b"}"#,
            r#"{"request":"switchover","follow":true}"#,
        ] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }

    #[test]
    fn what_is_asked_is_understood() {
        for request in [
            Request::Status,
            Request::Nodes,
            Request::Counters,
            Request::Events { follow: false },
            Request::Events { follow: true },
            Request::Regions,
            Request::Switchover { application: None },
            Request::Switchover { application: Some(RegionName::new("plc").unwrap()) },
        ] {
            let line = serde_json::to_string(&request).unwrap();
            assert_eq!(serde_json::from_str::<Request>(&line).unwrap(), request, "{line}");
        }
    }

    #[test]
    fn a_refusal_is_told_from_a_document() {
        let refusal = Refusal { code: RefusalCode::Busy, message: "later".to_owned() };
        let text = serde_json::to_string(&Reply::Refused(refusal.clone())).unwrap();
        assert_eq!(text, r#"{"reply":"refused","code":"busy","message":"later"}"#);
        assert_eq!(serde_json::from_str::<Reply>(&text).unwrap(), Reply::Refused(refusal));
        let text = serde_json::to_string(&Reply::Document(Document::Nodes(Vec::new()))).unwrap();
        assert_eq!(text, r#"{"reply":"nodes","document":[]}"#);
        assert!(matches!(serde_json::from_str(&text), Ok(Reply::Document(Document::Nodes(_)))));
    }
}
