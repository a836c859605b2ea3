//! What is to happen to the frames of a lane. Read from outside, so every value is checked.

use serde::{Deserialize, Serialize};

/// The longest delay, jitter or hold that can be asked for: one minute.
pub const SPAN_US_MAX: u64 = 60_000_000;
/// Extra copies of a frame at most.
pub const REPEAT_COUNT_MAX: u32 = 64;
/// Bits flipped in a frame at most.
pub const BITS_MAX: u32 = 64;

/// The impairments of one lane; what is absent is off.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Each frame is lost by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lose: Option<Lose>,
    /// Frames are lost in bursts (Gilbert-Elliott).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lose_bursts: Option<LoseBursts>,
    /// Every frame is this much late.
    pub delay_us: u64,
    /// Each copy is up to this much earlier or later than `delay_us`, all values equally likely; at
    /// most `delay_us`. Frames overtake each other unless `keep_order`.
    pub jitter_us: u64,
    /// Jitter never lets a frame overtake another.
    pub keep_order: bool,
    /// Some frames are held back while others pass.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reorder: Option<Reorder>,
    /// Some frames come several times.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repeat: Option<Repeat>,
    /// Some copies have bits flipped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub corrupt: Option<Corrupt>,
    /// The lane carries only so much.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<Rate>,
}

/// Independent loss.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lose {
    /// Of each frame.
    pub probability: f64,
}

/// Loss by a model with two states, which may change before each frame.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoseBursts {
    /// Probability to enter a burst.
    pub enter: f64,
    /// Probability to leave it again.
    pub leave: f64,
    /// Probability of loss in a burst.
    #[serde(default = "one")]
    pub lose_inside: f64,
    /// Probability of loss outside bursts.
    #[serde(default)]
    pub lose_outside: f64,
}

/// Holding back.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reorder {
    /// Of each frame.
    pub probability: f64,
    /// How long the frame is held back, beyond delay and jitter.
    pub hold_us: u64,
}

/// Repetition.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Repeat {
    /// Of each frame.
    pub probability: f64,
    /// Extra copies.
    #[serde(default = "one_copy")]
    pub count: u32,
    /// Time between one copy and the next.
    #[serde(default)]
    pub spacing_us: u64,
}

/// Corruption.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Corrupt {
    /// Of each copy.
    pub probability: f64,
    /// From one to this many different bits are flipped.
    #[serde(default = "one_copy")]
    pub bits_max: u32,
    /// Where.
    #[serde(default)]
    pub region: Region,
}

/// Where bits may be flipped.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Region {
    /// Behind the two MAC addresses.
    #[default]
    BehindAddresses,
    /// Anywhere.
    Anywhere,
}

/// A limited rate: a frame leaves when those before it have.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    /// Bits of frames (without preamble and check sequence) in a second.
    pub bits_per_second: u64,
    /// A frame that would have to wait longer than this is dropped as `overflow`.
    #[serde(default = "backlog")]
    pub backlog_us_max: u64,
}

const fn one() -> f64 {
    1.0
}
const fn one_copy() -> u32 {
    1
}
const fn backlog() -> u64 {
    100_000
}

/// A value that cannot be meant.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SettingsError {
    /// Not between 0 and 1.
    #[error("{0} is not a probability: it must lie between 0 and 1")]
    Probability(&'static str),
    /// More than the limit.
    #[error("{0} is too much: at most {1}")]
    TooMuch(&'static str, u64),
    /// Zero where nothing would happen.
    #[error("{0} must be at least 1")]
    Zero(&'static str),
    /// Jitter would send frames before they came.
    #[error("jitter_us is more than delay_us: a frame cannot leave before it came; raise delay_us")]
    JitterBeyondDelay,
}

impl Settings {
    /// The same settings, if each value can be meant.
    ///
    /// # Errors
    /// [`SettingsError`] names the first value that cannot.
    pub fn check(self) -> Result<Self, SettingsError> {
        span("delay_us", self.delay_us)?;
        if self.jitter_us > self.delay_us {
            return Err(SettingsError::JitterBeyondDelay);
        }
        if let Some(lose) = self.lose {
            probability("lose.probability", lose.probability)?;
        }
        if let Some(bursts) = self.lose_bursts {
            probability("lose_bursts.enter", bursts.enter)?;
            probability("lose_bursts.leave", bursts.leave)?;
            probability("lose_bursts.lose_inside", bursts.lose_inside)?;
            probability("lose_bursts.lose_outside", bursts.lose_outside)?;
        }
        if let Some(reorder) = self.reorder {
            probability("reorder.probability", reorder.probability)?;
            span("reorder.hold_us", reorder.hold_us)?;
        }
        if let Some(repeat) = self.repeat {
            probability("repeat.probability", repeat.probability)?;
            count("repeat.count", repeat.count, REPEAT_COUNT_MAX)?;
            span("repeat.spacing_us", repeat.spacing_us)?;
        }
        if let Some(corrupt) = self.corrupt {
            probability("corrupt.probability", corrupt.probability)?;
            count("corrupt.bits_max", corrupt.bits_max, BITS_MAX)?;
        }
        if let Some(rate) = self.rate {
            if rate.bits_per_second == 0 {
                return Err(SettingsError::Zero("rate.bits_per_second"));
            }
            span("rate.backlog_us_max", rate.backlog_us_max)?;
        }
        Ok(self)
    }
}

fn probability(name: &'static str, value: f64) -> Result<(), SettingsError> {
    if (0.0..=1.0).contains(&value) { Ok(()) } else { Err(SettingsError::Probability(name)) }
}

const fn span(name: &'static str, value_us: u64) -> Result<(), SettingsError> {
    if value_us <= SPAN_US_MAX { Ok(()) } else { Err(SettingsError::TooMuch(name, SPAN_US_MAX)) }
}

fn count(name: &'static str, value: u32, most: u32) -> Result<(), SettingsError> {
    match value {
        0 => Err(SettingsError::Zero(name)),
        value if value > most => Err(SettingsError::TooMuch(name, u64::from(most))),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Settings, String> {
        let settings: Settings = serde_json::from_str(text).map_err(|error| error.to_string())?;
        settings.check().map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_absent_is_off() {
        assert_eq!(read("{}"), Ok(Settings::default()));
        let settings = read(r#"{"lose":{"probability":0.2},"repeat":{"probability":1}}"#).unwrap();
        assert_eq!(settings.lose, Some(Lose { probability: 0.2 }));
        assert_eq!(settings.repeat, Some(Repeat { probability: 1.0, count: 1, spacing_us: 0 }));
        assert_eq!(settings.delay_us, 0);
    }

    #[test]
    fn values_that_cannot_be_meant_are_refused_by_name() {
        for (text, named) in [
            (r#"{"lose":{"probability":1.01}}"#, "lose.probability"),
            (r#"{"lose":{"probability":-0.1}}"#, "lose.probability"),
            (r#"{"lose_bursts":{"enter":2,"leave":0}}"#, "lose_bursts.enter"),
            (r#"{"delay_us":60000001}"#, "delay_us"),
            (r#"{"delay_us":-1}"#, "-1"),
            (r#"{"delay_us":5,"jitter_us":6}"#, "jitter_us"),
            (r#"{"reorder":{"probability":0.1,"hold_us":99999999999}}"#, "reorder.hold_us"),
            (r#"{"repeat":{"probability":0.1,"count":0}}"#, "repeat.count"),
            (r#"{"repeat":{"probability":0.1,"count":65}}"#, "repeat.count"),
            (r#"{"corrupt":{"probability":0.1,"bits_max":1000}}"#, "corrupt.bits_max"),
            (r#"{"rate":{"bits_per_second":0}}"#, "rate.bits_per_second"),
            (r#"{"loss":0.1}"#, "loss"),
        ] {
            let refusal = read(text).unwrap_err();
            assert!(refusal.contains(named), "{text}: {refusal}");
        }
    }
}
