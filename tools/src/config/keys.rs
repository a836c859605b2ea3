//! Every key of the configuration file.
//!
//! One list serves the refusal of unknown keys with the nearest known one, the check of a value's
//! type before anything else looks at it, and the test that the manual page leaves nothing out.

/// What a value is in TOML.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum KeyType {
    /// Text in quotes.
    Text,
    /// A whole number.
    Number,
    /// `true` or `false`.
    Switch,
    /// A table with keys of its own.
    Table,
    /// A list of such tables, each headed by its name in double brackets.
    Tables,
    /// A list of texts and whole numbers.
    List,
    /// A table whose keys are for choice, with texts.
    Texts,
}

impl KeyType {
    /// The type in words.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Text => "a text in quotes",
            Self::Number => "a whole number",
            Self::Switch => "true or false",
            Self::Table => "a table",
            Self::Tables => "a table in double brackets",
            Self::List => "a list in brackets, of texts in quotes or whole numbers",
            Self::Texts => "a table of texts in quotes",
        }
    }

    pub(super) fn fits(self, value: &toml::Value) -> bool {
        match self {
            Self::Text => value.is_str(),
            Self::Number => value.is_integer(),
            Self::Switch => value.is_bool(),
            Self::Table => value.is_table(),
            Self::Tables => {
                value.as_array().is_some_and(|list| list.iter().all(toml::Value::is_table))
            }
            Self::List => value
                .as_array()
                .is_some_and(|list| list.iter().all(|item| item.is_str() || item.is_integer())),
            Self::Texts => {
                value.as_table().is_some_and(|table| table.values().all(toml::Value::is_str))
            }
        }
    }
}

/// Every key with its path and type.
pub const KEYS: &[(&str, KeyType)] = &[
    ("name", KeyType::Text),
    ("protocol", KeyType::Text),
    ("lan_a", KeyType::Text),
    ("lan_b", KeyType::Text),
    ("lan_wait_s", KeyType::Number),
    ("interlink", KeyType::Text),
    ("hsr_version", KeyType::Number),
    ("mac", KeyType::Text),
    ("receive_mode", KeyType::Text),
    ("adaptive_spin_time_us", KeyType::Number),
    ("host_port", KeyType::Text),
    ("host_mtu", KeyType::Number),
    ("lan_receive", KeyType::Text),
    ("lan_transmit", KeyType::Text),
    ("promiscuous", KeyType::Text),
    ("transparent_reception", KeyType::Text),
    ("duplicate_mode", KeyType::Text),
    ("san_unicast", KeyType::Text),
    ("entry_forget_time_ms", KeyType::Number),
    ("node_forget_time_ms", KeyType::Number),
    ("node_table_size", KeyType::Number),
    ("cpu_dma_latency_us", KeyType::Number),
    ("socket_group", KeyType::Text),
    ("allow_non_rt", KeyType::Switch),
    ("supervision", KeyType::Table),
    ("supervision.interval_ms", KeyType::Number),
    ("supervision.last_byte", KeyType::Number),
    ("supervision.evaluate", KeyType::Switch),
    ("supervision.vlan", KeyType::Table),
    ("supervision.vlan.vid", KeyType::Number),
    ("supervision.vlan.pcp", KeyType::Number),
    ("supervision.vlan.dei", KeyType::Switch),
    ("threads", KeyType::Table),
    ("threads.lre", KeyType::Table),
    ("threads.lre.policy", KeyType::Text),
    ("threads.lre.priority", KeyType::Number),
    ("threads.lre.cpu", KeyType::Number),
    ("jitter", KeyType::Table),
    ("jitter.measured", KeyType::Text),
    ("jitter.program", KeyType::Text),
    ("jitter.jitter_ns", KeyType::Number),
    ("jitter.round_trip_a_ns", KeyType::Number),
    ("jitter.round_trip_b_ns", KeyType::Number),
    ("jitter.host", KeyType::Tables),
    ("jitter.host.name", KeyType::Text),
    ("jitter.host.bound_ns", KeyType::Number),
    ("jitter.host.method", KeyType::Text),
    ("jitter.host.horizon_s", KeyType::Number),
    ("jitter.host.samples", KeyType::Number),
    ("jitter.host.facts", KeyType::Texts),
    ("regions", KeyType::Table),
    ("regions.role", KeyType::Text),
    ("regions.cost_share_max_percent", KeyType::Number),
    ("regions.state_dir", KeyType::Text),
    ("regions.epoch", KeyType::Number),
    ("application", KeyType::Tables),
    ("application.name", KeyType::Text),
    ("application.takeover", KeyType::Text),
    ("region", KeyType::Tables),
    ("region.name", KeyType::Text),
    ("region.application", KeyType::Text),
    ("region.other_schema", KeyType::Text),
    ("region.write", KeyType::List),
    ("region.read", KeyType::List),
];

/// The type of a key, if there is such a key.
#[must_use]
pub fn type_of(path: &str) -> Option<KeyType> {
    KEYS.iter().find(|(known, _)| *known == path).map(|&(_, key_type)| key_type)
}

/// The known key that an unknown one was probably meant to be: the same last word elsewhere, a key
/// that goes on from it, or the fewest letters to change, if these are less than half of it.
#[must_use]
pub fn nearest(unknown: &str) -> Option<&'static str> {
    let known = || KEYS.iter().map(|&(key, _)| key);
    // `-` for `_` and a capital are the commonest slips; they cost nothing here.
    let wanted = unknown.to_ascii_lowercase().replace('-', "_");
    let last = |path: &str| path.rsplit('.').next().map(str::to_owned).unwrap_or_default();
    if let Some(key) = known().find(|key| last(key) == last(&wanted)) {
        return Some(key);
    }
    let begun = known().find(|key| wanted.len() > 2 && key.starts_with(&wanted));
    begun
        .or_else(|| nearest_word(&wanted, known()))
        .or_else(|| nearest_word(&last(&wanted), known()))
        .or_else(|| known().find(|key| key.contains(&last(&wanted)) && wanted.len() > 2))
}

/// The word of a list that a wrong one was probably meant to be.
#[must_use]
pub fn nearest_word<'a>(wrong: &str, words: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    // A word longer than any key is no slip of the keyboard, and the distance costs its length.
    if wrong.len() > 64 {
        return None;
    }
    words
        .map(|word| (distance(wrong, word), word))
        .min_by_key(|&(distance, _)| distance)
        .filter(|&(distance, word)| distance * 2 < word.len().max(2))
        .map(|(_, word)| word)
}

/// How many letters must be put in, taken out or changed to make one word of the other.
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, letter) in from.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, &other) in to.iter().enumerate() {
            let changed = diagonal + usize::from(letter != other);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_find_the_key_that_was_meant() {
        for (slip, meant) in [
            ("lan-a", "lan_a"),
            ("lana", "lan_a"),
            ("recieve_mode", "receive_mode"),
            ("supervision.intervall_ms", "supervision.interval_ms"),
            ("entry_forget_time", "entry_forget_time_ms"),
            ("supervision.last_octet", "supervision.last_byte"),
            ("last_byte", "supervision.last_byte"),
            ("threads.lre.prio", "threads.lre.priority"),
            ("lre.cpu", "threads.lre.cpu"),
            ("node_table", "node_table_size"),
        ] {
            assert_eq!(nearest(slip), Some(meant), "{slip}");
        }
    }

    #[test]
    fn nonsense_gets_no_suggestion() {
        for nonsense in ["", "x", "qqqqqqqqqqqqqq", "colour", &"lan_a".repeat(1000)] {
            assert_eq!(nearest(nonsense), None, "{nonsense}");
        }
    }

    #[test]
    fn every_table_of_a_key_is_a_key() {
        for (path, _) in KEYS {
            if let Some((table, _)) = path.rsplit_once('.') {
                let is_table = matches!(type_of(table), Some(KeyType::Table | KeyType::Tables));
                assert!(is_table, "{path}");
            }
        }
    }
}
