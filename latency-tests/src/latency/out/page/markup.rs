//! Tables and lists, with all text escaped.

use std::fmt::Write as _;

use super::super::picture::svg::escaped;

/// Rows of a table that are written; a result of our own has a hundred at most.
const ROWS_MAX: usize = 512;
/// Letters of a text that are written.
const TEXT_MAX: usize = 2_000;
/// Letters of a table's cell that are written.
const CELL_MAX: usize = 240;

/// A text from a result: escaped, and not longer than anybody reads.
pub(super) fn text(of: &str) -> String {
    up_to(of, TEXT_MAX)
}

fn up_to(of: &str, most: usize) -> String {
    match of.char_indices().nth(most) {
        Some((end, _)) => escaped(of.get(..end).unwrap_or_default()) + "…",
        None => escaped(of),
    }
}

/// A list of sentences.
pub(super) fn sentences(out: &mut String, class: &str, of: &[String]) {
    let _ = writeln!(out, "<ul class=\"{class}\">");
    for sentence in of.iter().take(ROWS_MAX) {
        let _ = writeln!(out, "<li>{}</li>", text(sentence));
    }
    out.push_str("</ul>\n");
    left_out(out, of.len());
}

/// A column of a table: its head, and whether it holds words.
pub(super) type Head<'a> = (&'a str, bool);

/// A row: whether something new begins with it, and its cells, which are not escaped yet.
pub(super) type Row = (bool, Vec<String>);

/// A table; the caption is a sentence about it. `bad` names cells that are over a bound.
pub(super) fn table(
    out: &mut String,
    caption: &str,
    heads: &[Head<'_>],
    rows: &[Row],
    bad: impl Fn(usize, usize) -> bool,
) {
    let class = |words: bool| if words { "words" } else { "figure" };
    let _ = write!(out, "<table>\n<caption>{}</caption>\n<thead><tr>", text(caption));
    for (head, words) in heads {
        let _ = write!(out, "<th scope=\"col\" class=\"{}\">{}</th>", class(*words), text(head));
    }
    out.push_str("</tr></thead>\n<tbody>\n");
    for (at, (first, cells)) in rows.iter().enumerate().take(ROWS_MAX) {
        out.push_str(if *first { "<tr class=\"first\">" } else { "<tr>" });
        for (column, cell) in cells.iter().enumerate() {
            let words = heads.get(column).is_some_and(|(_, words)| *words);
            let bad = if bad(at, column) { " bad" } else { "" };
            let _ =
                write!(out, "<td class=\"{}{bad}\">{}</td>", class(words), up_to(cell, CELL_MAX));
        }
        out.push_str("</tr>\n");
    }
    out.push_str("</tbody>\n</table>\n");
    left_out(out, rows.len());
}

/// Names and what they stand for.
pub(super) fn facts<'a>(out: &mut String, of: impl Iterator<Item = (&'a str, &'a str)>) {
    out.push_str("<dl>\n");
    for (name, value) in of.take(ROWS_MAX) {
        let value = if value.is_empty() { "–" } else { value };
        let _ = writeln!(out, "<dt>{}</dt><dd>{}</dd>", text(name), text(value));
    }
    out.push_str("</dl>\n");
}

fn left_out(out: &mut String, rows: usize) {
    let more = rows.saturating_sub(ROWS_MAX);
    if more > 0 {
        let _ = writeln!(out, "<p class=\"quiet\">And {more} more, which are in the result.</p>");
    }
}

/// Processors as the kernel lists them: `0-3,8`.
pub(super) fn processors(of: &[usize]) -> String {
    let rows = of.chunk_by(|a, b| a.checked_add(1) == Some(*b)).take(ROWS_MAX);
    let told = rows.filter_map(|row| match row {
        [] => None,
        [only] => Some(only.to_string()),
        [first, .., last] => Some(format!("{first}-{last}")),
    });
    told.collect::<Vec<_>>().join(", ")
}

/// RFC 4648, for the font.
pub(super) fn base64(octets: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(octets.len().div_ceil(3) * 4);
    for chunk in octets.chunks(3) {
        let mut three = [0; 3];
        three.iter_mut().zip(chunk).for_each(|(to, from)| *to = *from);
        let [a, b, c] = three;
        let bits = u32::from_be_bytes([0, a, b, c]);
        for place in 0..4 {
            let six = (bits >> (18 - 6 * place)) & 63;
            let letter = LETTERS.iter().zip(0_u32..).find(|(_, it)| *it == six);
            let is_full = place <= chunk.len();
            out.push(letter.map_or('=', |(it, _)| if is_full { char::from(*it) } else { '=' }));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn octets_are_told_as_the_standard_has_them() {
        let told =
            ["", "f", "fo", "foo", "foob", "fooba", "foobar"].map(|it| base64(it.as_bytes()));
        assert_eq!(told, ["", "Zg==", "Zm8=", "Zm9v", "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy"]);
    }

    #[test]
    fn processors_are_listed_in_rows() {
        assert_eq!(processors(&[0, 1, 2, 3, 8, 10, 11]), "0-3, 8, 10-11");
        assert_eq!(processors(&[usize::MAX, 0]), format!("{}, 0", usize::MAX));
        assert_eq!(processors(&[]), "");
    }

    #[test]
    fn no_cell_ends_its_table_and_no_text_is_endless() {
        let mut out = String::new();
        let row = (true, vec!["</td></table><script>".to_owned(), "ä".repeat(100_000)]);
        table(&mut out, "<b>", &[("<i>", true), ("x", false)], &[row], |_, _| false);
        assert_eq!(out.matches("</table>").count(), 1);
        assert!(!out.contains("<script") && !out.contains("<b>") && !out.contains("<i>"), "{out}");
        assert!(out.len() < 10_000);
    }

    #[test]
    fn of_very_many_rows_the_number_left_out_is_told() {
        let mut out = String::new();
        let rows: Vec<Row> = (0..1_000).map(|it| (true, vec![it.to_string()])).collect();
        table(&mut out, "", &[("n", false)], &rows, |_, _| false);
        assert!(out.contains("And 488 more"), "{}", out.len());
    }
}
