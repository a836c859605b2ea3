//! Rust source, taken apart just so far that a rule can tell code from comments and strings.

/// A source text twice, with the same lines and columns as the original.
#[derive(PartialEq, Eq, Debug)]
pub(crate) struct Source {
    /// The code: comments and the insides of literals are blank.
    pub(crate) code: String,
    /// The comments: all else is blank.
    pub(crate) comments: String,
}

impl Source {
    /// Takes `text` apart. Text that is no Rust gives some result, never a panic.
    pub(crate) fn split(text: &str) -> Self {
        let mut splitter = Splitter {
            text: text.chars().collect(),
            at: 0,
            out: Self { code: String::new(), comments: String::new() },
        };
        splitter.run();
        splitter.out
    }
}

/// The identifiers, keywords and numbers of a text of code.
pub(crate) fn words(code: &str) -> impl Iterator<Item = &str> {
    code.split(|c: char| !(c.is_alphanumeric() || c == '_')).filter(|word| !word.is_empty())
}

struct Splitter {
    text: Vec<char>,
    at: usize,
    out: Source,
}

#[derive(Clone, Copy)]
enum To {
    Code,
    Comments,
    Neither,
}

impl Splitter {
    fn peek(&self, ahead: usize) -> Option<char> {
        self.text.get(self.at + ahead).copied()
    }

    fn sees(&self, what: &str) -> bool {
        what.chars().enumerate().all(|(i, c)| self.peek(i) == Some(c))
    }

    fn take(&mut self, count: usize, to: To) {
        for _ in 0..count {
            let Some(c) = self.peek(0) else { return };
            self.at += 1;
            let blank = if c == '\n' { '\n' } else { ' ' };
            let (code, comment) = match to {
                To::Code => (c, blank),
                To::Comments => (blank, c),
                To::Neither => (blank, blank),
            };
            self.out.code.push(code);
            self.out.comments.push(comment);
        }
    }

    fn run(&mut self) {
        let mut in_word = false;
        while let Some(c) = self.peek(0) {
            let raw = if in_word { None } else { self.raw_string_start() };
            if self.sees("//") {
                while self.peek(0).is_some_and(|c| c != '\n') {
                    self.take(1, To::Comments);
                }
            } else if self.sees("/*") {
                self.block_comment();
            } else if let Some((prefix, hashes)) = raw {
                self.raw_string(prefix, hashes);
            } else if c == '"' {
                self.quoted('"');
            } else if c == '\'' && self.is_char_literal() {
                self.quoted('\'');
            } else {
                in_word = c.is_alphanumeric() || c == '_';
                self.take(1, To::Code);
                continue;
            }
            in_word = false;
        }
    }

    fn block_comment(&mut self) {
        let mut depth = 0usize;
        while self.peek(0).is_some() {
            if self.sees("/*") {
                depth += 1;
                self.take(2, To::Comments);
            } else if self.sees("*/") {
                depth -= 1;
                self.take(2, To::Comments);
                if depth == 0 {
                    return;
                }
            } else {
                self.take(1, To::Comments);
            }
        }
    }

    /// Length of the prefix (`r`, `br`, `cr`) and number of hashes, where a raw string starts here.
    fn raw_string_start(&self) -> Option<(usize, usize)> {
        let prefix = ["r", "br", "cr"].into_iter().find(|prefix| {
            self.sees(prefix) && matches!(self.peek(prefix.len()), Some('#' | '"'))
        })?;
        let mut hashes = 0;
        while self.peek(prefix.len() + hashes) == Some('#') {
            hashes += 1;
        }
        (self.peek(prefix.len() + hashes) == Some('"')).then_some((prefix.len(), hashes))
    }

    fn raw_string(&mut self, prefix: usize, hashes: usize) {
        let end: String = std::iter::once('"').chain(std::iter::repeat_n('#', hashes)).collect();
        self.take(prefix + hashes + 1, To::Neither);
        while self.peek(0).is_some() && !self.sees(&end) {
            self.take(1, To::Neither);
        }
        self.take(end.len(), To::Neither);
    }

    fn quoted(&mut self, quote: char) {
        self.take(1, To::Code);
        while let Some(c) = self.peek(0) {
            if c == quote {
                self.take(1, To::Code);
                return;
            }
            self.take(if c == '\\' { 2 } else { 1 }, To::Neither);
        }
    }

    /// A quote begins a literal, not a lifetime, when it is escaped or closes after one character.
    fn is_char_literal(&self) -> bool {
        self.peek(1) == Some('\\') || self.peek(2) == Some('\'')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: &str) -> String {
        let source = Source::split(text);
        assert_eq!(source.code.chars().count(), text.chars().count());
        assert_eq!(source.code.lines().count(), text.lines().count());
        source.code
    }

    #[test]
    fn comments_and_literals_are_no_code() {
        assert_eq!(code("a // b\nc").trim_end(), "a     \nc");
        assert_eq!(code("a /* b /* c */ d */ e"), format!("a {} e", " ".repeat(17)));
        assert_eq!(
            words(&code(r#"x("unsafe \" y", 'z', '\'', b"q")"#)).collect::<Vec<_>>(),
            ["x", "b"]
        );
        assert_eq!(words(&code("r#\"a \" b\"# c")).collect::<Vec<_>>(), ["c"]);
    }

    #[test]
    fn lifetimes_and_raw_names_are_code() {
        assert_eq!(words(&code("fn f<'a>(x: &'a str, r#type: u8)")).count(), 9);
    }

    #[test]
    fn comments_are_kept_apart() {
        let source = Source::split("let a = \"// no\"; // yes");
        assert_eq!(source.comments.trim(), "// yes");
    }

    #[test]
    fn broken_text_ends() {
        for text in ["\"", "'", "/*", "r#\"", "'\\", "\"\\", "/*/", "b'"] {
            code(text);
        }
    }
}
