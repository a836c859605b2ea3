//! The colours, by what they are for: once for light paper and once for a dark screen.
//!
//! Series differ in dash and number, too: colour alone tells nothing to a part of all readers, and
//! to nobody in black print.

/// How many series are told apart by colour and dash.
pub(in crate::latency::out) const SERIES: usize = 8;
/// Steps of the heat map.
pub(in crate::latency::out) const HEATS: usize = 9;

/// What something is drawn with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::latency::out) enum Ink {
    /// What is read.
    Text,
    /// What is read second: marks of axes, remarks.
    Quiet,
    /// Lines that guide the eye.
    Grid,
    /// The frame of a plot.
    Frame,
    /// Where nothing is known.
    Blank,
    /// Stalls, lost samples, what is over a bound.
    Bad,
    /// What is well.
    Good,
    /// What is below everything.
    Ground,
    /// A series, by its place.
    Series(usize),
    /// A step of the heat map.
    Heat(usize),
}

/// Light paper, or a dark screen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::latency::out) enum Theme {
    Light,
    Dark,
}

const SERIES_LIGHT: [u32; SERIES] =
    [0x00_5fa8, 0xc2_4d00, 0x00_7a5c, 0x93_3a93, 0x1f_8fc0, 0x9a_7000, 0xb8_2238, 0x55_5f6b];
const SERIES_DARK: [u32; SERIES] =
    [0x6c_b6ff, 0xff_9a4d, 0x4f_d1a5, 0xdd_8fe0, 0x5f_d3f0, 0xe0_bb4a, 0xff_8088, 0xaa_b4c0];
/// From hardly a difference to the paper to as strong as can be; lightness falls in equal steps.
const HEAT_LIGHT: [u32; HEATS] = [
    0xdd_e8f5, 0xc6_d8ec, 0xa8_c4e2, 0x84_aed7, 0x5f_95cc, 0x3b_76b5, 0x2a_5897, 0x1f_3c73,
    0x14_2247,
];
const HEAT_DARK: [u32; HEATS] = [
    0x1d_2836, 0x22_3a54, 0x29_4f75, 0x33_6899, 0x44_84bc, 0x64_a1d6, 0x8f_bee8, 0xbd_daf5,
    0xf0_f7ff,
];

impl Ink {
    /// All of them.
    pub(in crate::latency::out) fn all() -> impl Iterator<Item = Self> {
        let few = [
            Self::Text,
            Self::Quiet,
            Self::Grid,
            Self::Frame,
            Self::Blank,
            Self::Bad,
            Self::Good,
            Self::Ground,
        ];
        let series = (0..SERIES).map(Self::Series);
        few.into_iter().chain(series).chain((0..HEATS).map(Self::Heat))
    }

    /// Its name in style sheets.
    pub(in crate::latency::out) fn name(self) -> String {
        match self {
            Self::Text => "text".to_owned(),
            Self::Quiet => "quiet".to_owned(),
            Self::Grid => "grid".to_owned(),
            Self::Frame => "frame".to_owned(),
            Self::Blank => "blank".to_owned(),
            Self::Bad => "bad".to_owned(),
            Self::Good => "good".to_owned(),
            Self::Ground => "ground".to_owned(),
            Self::Series(place) => format!("s{}", place % SERIES),
            Self::Heat(step) => format!("h{}", step.min(HEATS - 1)),
        }
    }

    /// Its colour: red, green, blue, the lowest octets of the number.
    pub(in crate::latency::out) fn colour(self, theme: Theme) -> u32 {
        let [light, dark] = match self {
            Self::Text => [0x1a_1f26, 0xe6_eaf0],
            Self::Quiet => [0x55_5f6b, 0xa3_adb9],
            Self::Grid => [0xe2_e6eb, 0x2a_313a],
            Self::Frame => [0x9a_a3ae, 0x56_606c],
            Self::Blank => [0xff_ffff, 0x14_181d],
            Self::Bad => [0xb4_1a1a, 0xff_7b72],
            Self::Good => [0x0d_6b3a, 0x56_d48a],
            Self::Ground => [0xff_ffff, 0x14_181d],
            Self::Series(place) => [SERIES_LIGHT, SERIES_DARK].map(|of| of[place % SERIES]),
            Self::Heat(step) => [HEAT_LIGHT, HEAT_DARK].map(|of| of[step.min(HEATS - 1)]),
        };
        match theme {
            Theme::Light => light,
            Theme::Dark => dark,
        }
    }
}

/// The dashes of a series' line: drawn, left out, in turn. None: the line is whole.
pub(in crate::latency::out) const fn dash(place: usize) -> &'static [f32] {
    match place % SERIES {
        0 => &[],
        1 => &[7.0, 3.0],
        2 => &[2.0, 2.0],
        3 => &[9.0, 3.0, 2.0, 3.0],
        4 => &[4.0, 2.0],
        5 => &[12.0, 4.0],
        6 => &[6.0, 2.0, 2.0, 2.0, 2.0, 2.0],
        _ => &[1.0, 3.0],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Relative luminance, as WCAG 2 defines it.
    fn luminance(colour: u32) -> f64 {
        let [_, octets @ ..] = colour.to_be_bytes();
        let [r, g, b] = octets.map(|octet| {
            let part = f64::from(octet) / 255.0;
            if part <= 0.040_45 { part / 12.92 } else { ((part + 0.055) / 1.055).powf(2.4) }
        });
        0.2126 * r + 0.7152 * g + 0.0722 * b
    }

    fn contrast(a: Ink, b: Ink, theme: Theme) -> f64 {
        let [a, b] = [a, b].map(|ink| luminance(ink.colour(theme)) + 0.05);
        a.max(b) / a.min(b)
    }

    #[test]
    fn text_and_lines_stand_out_in_both_themes() {
        for theme in [Theme::Light, Theme::Dark] {
            for ink in [Ink::Text, Ink::Quiet, Ink::Bad, Ink::Good] {
                assert!(contrast(ink, Ink::Ground, theme) >= 4.5, "{ink:?} {theme:?}");
            }
            for ink in (0..SERIES).map(Ink::Series) {
                assert!(contrast(ink, Ink::Ground, theme) >= 3.0, "{ink:?} {theme:?}");
            }
        }
    }

    #[test]
    fn heat_is_told_by_lightness_alone() {
        let light = (0..HEATS).map(|it| luminance(Ink::Heat(it).colour(Theme::Light)));
        assert!(light.is_sorted_by(|a, b| a > b));
        let dark = (0..HEATS).map(|it| luminance(Ink::Heat(it).colour(Theme::Dark)));
        assert!(dark.is_sorted_by(|a, b| a < b));
    }
}
