//! Text for people: tables, spans of time, numbers, colour where a terminal shows it.

use std::env;
use std::io::{self, IsTerminal};

/// Whether words may be coloured. No colour ever carries meaning that the words do not.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Style {
    colour: bool,
}

impl Style {
    /// No colour.
    pub const PLAIN: Self = Self { colour: false };

    /// Colour on a terminal, unless NO_COLOR is set or the terminal is dumb.
    pub fn of_stdout() -> Self {
        Self::of(&io::stdout())
    }

    /// The same for standard error.
    pub fn of_stderr() -> Self {
        Self::of(&io::stderr())
    }

    fn of(stream: &impl IsTerminal) -> Self {
        let no_color = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let dumb = env::var_os("TERM").is_none_or(|term| term == "dumb");
        Self { colour: stream.is_terminal() && !no_color && !dumb }
    }

    fn paint(self, code: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    /// What is wrong.
    pub fn bad(self, text: &str) -> String {
        self.paint("1;31", text)
    }

    /// What should be looked at.
    pub fn odd(self, text: &str) -> String {
        self.paint("33", text)
    }

    /// What is as it should be.
    pub fn good(self, text: &str) -> String {
        self.paint("32", text)
    }

    /// A heading.
    pub fn head(self, text: &str) -> String {
        self.paint("1", text)
    }
}

/// On which side of its column a cell stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Side {
    /// Words.
    Left,
    /// Figures.
    Right,
}

/// Rows of cells with aligned columns, two spaces between, no trailing white space.
#[derive(Clone, Debug)]
pub struct Table {
    sides: Vec<Side>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// Without rows, of columns with these names.
    pub fn new(columns: &[(&str, Side)]) -> Self {
        Self {
            sides: columns.iter().map(|&(_, side)| side).collect(),
            rows: vec![columns.iter().map(|&(name, _)| name.to_owned()).collect()],
        }
    }

    /// Adds a row.
    pub fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    /// The table as text.
    pub fn render(&self, style: Style) -> String {
        let width = |column: usize| {
            self.rows.iter().filter_map(|row| row.get(column)).map(|c| c.chars().count()).max()
        };
        let widths: Vec<usize> =
            (0..self.sides.len()).map(|column| width(column).unwrap_or(0)).collect();
        let mut text = String::new();
        for (number, row) in self.rows.iter().enumerate() {
            let mut line = String::new();
            for ((cell, side), &width) in row.iter().zip(&self.sides).zip(&widths) {
                let gap = " ".repeat(width - cell.chars().count());
                match side {
                    Side::Left => line += &format!("{cell}{gap}  "),
                    Side::Right => line += &format!("{gap}{cell}  "),
                }
            }
            let line = line.trim_end();
            text += &if number == 0 { style.head(line) } else { line.to_owned() };
            text.push('\n');
        }
        text
    }
}

/// A number with commas.
pub fn number(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// So many of a thing.
pub fn count(value: u64, one: &str) -> String {
    let plural = if value == 1 { "" } else { "s" };
    format!("{} {one}{plural}", number(value))
}

/// A span as a person says it, two units at most.
pub fn span(ns: u64) -> String {
    const SECOND_NS: u64 = 1_000_000_000;
    let s = ns / SECOND_NS;
    match s {
        0 if ns < 1_000_000 => "0 ms".to_owned(),
        0 => format!("{} ms", ns / 1_000_000),
        1..10 => format!("{s}.{} s", ns % SECOND_NS / (SECOND_NS / 10)),
        10..60 => format!("{s} s"),
        60..3_600 => format!("{} min {} s", s / 60, s % 60),
        3_600..86_400 => format!("{} h {} min", s / 3_600, s % 3_600 / 60),
        _ => format!("{} d {} h", s / 86_400, s % 86_400 / 3_600),
    }
}

/// An amount of memory.
pub fn octets(value: u64) -> String {
    const UNITS: [&str; 3] = ["KiB", "MiB", "GiB"];
    let mut scaled = value;
    let mut text = format!("{value} octets");
    for unit in UNITS {
        if scaled < 1024 {
            break;
        }
        text = format!("{}.{} {unit}", scaled / 1024, scaled % 1024 * 10 / 1024);
        scaled /= 1024;
    }
    text
}

/// Wall clock time in UTC.
pub fn utc(unix_time_ns: u64) -> String {
    let s = unix_time_ns / 1_000_000_000;
    let (days, of_day) = (s / 86_400, s % 86_400);
    let (year, month, day) = date(days);
    let (hour, minute, second) = (of_day / 3_600, of_day % 3_600 / 60, of_day % 60);
    let ms = unix_time_ns / 1_000_000 % 1_000;
    format!("{year}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}.{ms:03}Z")
}

/// Year, month and day of a number of days since 1970-01-01. Years are counted from March, so that
/// the day a leap year adds is the last of its year.
fn date(days: u64) -> (u64, u64, u64) {
    const DAYS_TO_0000_03_01: u64 = 719_468;
    const DAYS_PER_400_YEARS: u64 = 146_097;
    let days = days + DAYS_TO_0000_03_01;
    let (era, of_era) = (days / DAYS_PER_400_YEARS, days % DAYS_PER_400_YEARS);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    (era * 400 + year + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        for (value, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(number(value), text);
        }
    }

    #[test]
    fn one_is_no_plural() {
        assert_eq!(count(1, "node"), "1 node");
        assert_eq!(count(0, "node"), "0 nodes");
        assert_eq!(count(1_000, "node"), "1,000 nodes");
    }

    #[test]
    fn spans_read_as_a_person_says_them() {
        for (ns, text) in [
            (0, "0 ms"),
            (1_500_000, "1 ms"),
            (999_999_999, "999 ms"),
            (1_250_000_000, "1.2 s"),
            (59_900_000_000, "59 s"),
            (61_000_000_000, "1 min 1 s"),
            (7_384_000_000_000, "2 h 3 min"),
            (200_000_000_000_000, "2 d 7 h"),
        ] {
            assert_eq!(span(ns), text);
        }
    }

    #[test]
    fn memory_is_scaled() {
        assert_eq!(octets(1_023), "1023 octets");
        assert_eq!(octets(1_536), "1.5 KiB");
        assert_eq!(octets(64 << 20), "64.0 MiB");
    }

    #[test]
    fn dates_know_leap_years() {
        for (s, text) in [
            (0, "1970-01-01 00:00:00.000Z"),
            (951_782_400, "2000-02-29 00:00:00.000Z"),
            (1_709_251_199, "2024-02-29 23:59:59.000Z"),
            (1_709_251_200, "2024-03-01 00:00:00.000Z"),
            (4_102_444_800, "2100-01-01 00:00:00.000Z"),
            (4_107_542_400, "2100-03-01 00:00:00.000Z"),
        ] {
            assert_eq!(utc(s * 1_000_000_000), text);
        }
        assert_eq!(utc(1_234_000_000), "1970-01-01 00:00:01.234Z");
    }

    #[test]
    fn columns_are_aligned_without_trailing_space() {
        let mut table = Table::new(&[("Name", Side::Left), ("Count", Side::Right)]);
        table.row(vec!["größer".to_owned(), "1".to_owned()]);
        table.row(vec!["b".to_owned(), "1,000".to_owned()]);
        assert_eq!(table.render(Style::PLAIN), "Name    Count\ngrößer      1\nb       1,000\n");
    }
}
