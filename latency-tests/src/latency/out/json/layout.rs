//! Where a line ends in a JSON text.
//!
//! Works on the text and not on a tree: a tree of the library forgets the order of keys, and that
//! order is the one in which a reader wants to be told.

/// A list or an object up to so many octets stays on one line.
const LINE_MAX: usize = 88;
/// Levels that are broken into lines; deeper ones stay as they are.
const DEPTH_MAX: usize = 32;

/// Lays out a JSON text without any space outside its strings.
pub(super) fn lay_out(flat: &str) -> String {
    let mut out = String::with_capacity(flat.len() + flat.len() / 4);
    value(flat, 0, &mut out);
    out.push('\n');
    out
}

fn value(flat: &str, depth: usize, out: &mut String) {
    let is_rows = flat.starts_with("[[");
    if !flat.starts_with(['[', '{']) || flat.len() <= LINE_MAX || is_rows || depth >= DEPTH_MAX {
        out.push_str(flat);
        return;
    }
    let (open, close) = (&flat[..1], &flat[flat.len() - 1..]);
    out.push_str(open);
    let mut inside = &flat[1..flat.len() - 1];
    loop {
        out.push('\n');
        out.extend(std::iter::repeat_n("  ", depth + 1));
        let end = item(inside);
        let (this, rest) = inside.split_at(end);
        let key = if open == "{" { string(this) } else { 0 };
        out.push_str(&this[..key]);
        match this[key..].strip_prefix(':') {
            Some(of_the_key) => {
                out.push_str(": ");
                value(of_the_key, depth + 1, out);
            }
            None => value(&this[key..], depth + 1, out),
        }
        let Some(rest) = rest.strip_prefix(',') else { break };
        out.push(',');
        inside = rest;
    }
    out.push('\n');
    out.extend(std::iter::repeat_n("  ", depth));
    out.push_str(close);
}

/// Where the first item of a list without its brackets ends.
fn item(inside: &str) -> usize {
    let (mut open, mut at) = (0usize, 0);
    let octets = inside.as_bytes();
    while let Some(octet) = octets.get(at) {
        match octet {
            b'"' => {
                at += string(&inside[at..]);
                continue;
            }
            b'[' | b'{' => open += 1,
            b']' | b'}' => open = open.saturating_sub(1),
            b',' if open == 0 => return at,
            _ => {}
        }
        at += 1;
    }
    octets.len()
}

/// Where the string ends that the text begins with.
fn string(text: &str) -> usize {
    let mut is_escaped = false;
    for (at, octet) in text.bytes().enumerate().skip(1) {
        match octet {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn long_parts_are_broken_and_rows_are_not() {
        let rows: Vec<[u64; 2]> = (0..100).map(|at| [at, at * at]).collect();
        let tricky = "a \"quoted\" [ { , : \\ end";
        let document = json!({
            "rows": rows,
            "short": { "b": 1, "a": [] },
            "strings": [tricky.repeat(3), tricky, "x".repeat(80)],
            tricky: { "deep": [{ "long": "y".repeat(90) }, {}, [], null] },
        });
        let text = lay_out(&document.to_string());
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), document);
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines.iter().any(|line| line.starts_with("  \"rows\": [[0,0],[1,1],")), "{text}");
        assert!(lines.contains(&"  \"short\": {\"a\":[],\"b\":1},"), "{text}");
        assert!(lines.len() > 12, "{text}");
    }

    #[test]
    fn a_scalar_stays_what_it_is() {
        for flat in ["null", "\"\"", "[]", "{}", "1.5"] {
            assert_eq!(lay_out(flat), format!("{flat}\n"));
        }
    }
}
