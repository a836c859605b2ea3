//! The MIB's counters as a document.

use std::fmt;

use prp::lre::counters::LreCounters;
use serde::de::{MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Counters by their names in the MIB, in the MIB's order; in JSON one object.
///
/// Read back as name and value, so that a newer daemon's counter is shown and not lost.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct MibCounters(pub Vec<(String, u64)>);

impl MibCounters {
    /// The value of a counter, 0 when the daemon does not have it.
    #[must_use]
    pub fn get(&self, name: &str) -> u64 {
        self.0.iter().find(|(known, _)| known == name).map_or(0, |&(_, value)| value)
    }
}

impl From<&LreCounters> for MibCounters {
    fn from(counters: &LreCounters) -> Self {
        Self(counters.named().map(|(name, value)| (name.to_owned(), value)).to_vec())
    }
}

impl Serialize for MibCounters {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in &self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for MibCounters {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = MibCounters;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of counters")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<MibCounters, M::Error> {
                let mut counters = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    counters.push(entry);
                }
                Ok(MibCounters(counters))
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}

/// `bumpless counters --json`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Counters {
    /// See [`super::SCHEMA`].
    pub schema: u32,
    /// The instance.
    pub name: String,
    /// Time since the daemon started, and with it every counter, in ns.
    pub uptime_ns: u64,
    /// The MIB's counters.
    pub counters: MibCounters,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_keep_their_order_and_values() {
        let lre = LreCounters { tx: [u64::MAX, 2, 3], own_rx: [4, 5], ..LreCounters::default() };
        let counters = MibCounters::from(&lre);
        let text = serde_json::to_string(&counters).unwrap();
        assert!(text.starts_with(r#"{"lreCntTxA":18446744073709551615,"lreCntTxB":2,"#), "{text}");
        assert_eq!(serde_json::from_str::<MibCounters>(&text).unwrap(), counters);
        assert_eq!(counters.get("lreCntOwnRxB"), 5);
        assert_eq!(counters.get("lreCntNoSuch"), 0);
    }
}
