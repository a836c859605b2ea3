//! A drawing as SVG. Colours are classes, which the page's style sheet gives a meaning in each
//! theme.

use std::fmt::Write as _;

use super::drawing::{Anchor, Drawing, Shape};
use super::ink::Ink;

/// The drawing as an element `svg` for a page.
pub(in crate::latency::out) fn element(drawing: &Drawing) -> String {
    let mut out = String::new();
    let Drawing { width, height, title, shapes } = drawing;
    let title = escaped(title);
    let _ = write!(
        out,
        "<svg viewBox=\"0 0 {width:.0} {height:.0}\" role=\"img\" aria-label=\"{title}\">"
    );
    for (ink, shape) in shapes {
        write_shape(&mut out, *ink, shape);
    }
    out.push_str("</svg>\n");
    out
}

fn write_shape(out: &mut String, ink: Ink, shape: &Shape) {
    let ink = ink.name();
    // Writing to a string cannot fail.
    let _ = match shape {
        Shape::Rect([x, y, width, height]) => write!(
            out,
            "<rect class=\"f-{ink}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" \
             height=\"{height:.1}\"/>"
        ),
        Shape::Line { through, width, dash } => {
            let dash: Vec<String> = dash.iter().map(ToString::to_string).collect();
            let dash = match dash.as_slice() {
                [] => String::new(),
                some => format!(" stroke-dasharray=\"{}\"", some.join(" ")),
            };
            let places = places(through);
            write!(
                out,
                "<polyline class=\"l-{ink}\" stroke-width=\"{width}\"{dash} points=\"{places}\"/>"
            )
        }
        Shape::Area { around, strength } => {
            let places = places(around);
            write!(
                out,
                "<polygon class=\"f-{ink}\" fill-opacity=\"{strength}\" points=\"{places}\"/>"
            )
        }
        Shape::Text { at: [x, y], text, size, anchor, turned } => {
            let anchor = match anchor {
                Anchor::Start => "",
                Anchor::Middle => " text-anchor=\"middle\"",
                Anchor::End => " text-anchor=\"end\"",
            };
            let turned = match turned {
                true => format!(" transform=\"rotate(-90 {x:.1} {y:.1})\""),
                false => String::new(),
            };
            let text = escaped(text);
            write!(
                out,
                "<text class=\"f-{ink}\" x=\"{x:.1}\" y=\"{y:.1}\" \
                 font-size=\"{size}\"{anchor}{turned}>{text}</text>"
            )
        }
    };
}

fn places(of: &[[f64; 2]]) -> String {
    let mut text = String::with_capacity(of.len() * 12);
    for [x, y] in of {
        if !text.is_empty() {
            text.push(' ');
        }
        let _ = write!(text, "{x:.1},{y:.1}");
    }
    text
}

/// A text as content or attribute of an element. What has no letter, or would turn the text around
/// it, is replaced.
pub(in crate::latency::out) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\n' | '\t' => out.push(' '),
            '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                out.push('\u{fffd}');
            }
            it if it.is_control() || matches!(it, '\u{fffe}' | '\u{ffff}') => out.push('\u{fffd}'),
            it => out.push(it),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_text_ends_an_element_an_attribute_or_a_line() {
        let hostile = "</text><script>alert(\"1\")&'\0\u{1b}[31m\u{202e}";
        let text = escaped(hostile);
        assert!(!text.contains(['<', '>', '"', '\'', '\0', '\u{1b}', '\u{202e}']), "{text}");
        assert_eq!(escaped("cpu 3 & µs\tx"), "cpu 3 &amp; µs x");
    }

    #[test]
    fn the_title_and_each_text_are_escaped() {
        let mut drawing = Drawing::new("a \"b\"", 10.0, 10.0);
        drawing.text(Ink::Text, [1.0, 2.0], Anchor::Start, "<x>");
        let text = element(&drawing);
        assert!(text.contains("aria-label=\"a &quot;b&quot;\"") && text.contains(">&lt;x&gt;</"));
    }
}
