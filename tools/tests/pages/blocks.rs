//! What stands in the pages for a reader to copy: fenced blocks of Markdown, and what the section
//! EXAMPLES of a manual page displays.

use std::fs;
use std::path::{Path, PathBuf};

/// One thing to copy.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Piece {
    /// The page, from the root of the repository.
    pub(crate) page: String,
    /// Where it begins in it.
    pub(crate) line: usize,
    /// A command, or the first line of a listing.
    pub(crate) first: String,
    /// The whole of a listing; `None` for a command.
    pub(crate) listing: Option<String>,
}

pub(crate) fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

pub(crate) fn read(page: &str) -> String {
    fs::read_to_string(repository().join(page)).unwrap_or_else(|why| panic!("{page}: {why}"))
}

/// Every page for people: Markdown at the root and below `docs`, and manual pages.
pub(crate) fn pages() -> Vec<String> {
    let mut found = Vec::new();
    for folder in ["", "docs", "docs/design", "docs/man"] {
        for entry in fs::read_dir(repository().join(folder)).unwrap() {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            let is_folder = entry.file_type().unwrap().is_dir();
            let known = ["design", "man", "schema"].contains(&name.as_str());
            assert!(
                folder != "docs" || !is_folder || known,
                "docs/{name} is looked into by no test"
            );
            if !is_folder && (name.ends_with(".md") || folder == "docs/man") {
                found.push(format!("{folder}/{name}").trim_start_matches('/').to_owned());
            }
        }
    }
    found.sort();
    found
}

/// The pieces of a page.
pub(crate) fn pieces(page: &str) -> Vec<Piece> {
    let text = read(page);
    if page.ends_with(".md") { of_markdown(page, &text) } else { of_manual(page, &text) }
}

fn of_markdown(page: &str, text: &str) -> Vec<Piece> {
    let mut found = Vec::new();
    let mut block: Option<(usize, &str, Vec<&str>)> = None;
    for (index, line) in text.lines().enumerate() {
        let fence = line.trim_start().strip_prefix("```");
        match (&mut block, fence) {
            (None, Some(language)) => block = Some((index + 1, language, Vec::new())),
            (Some(_), Some(_)) => {
                let (begin, language, lines) = block.take().unwrap();
                found.extend(of_block(page, begin, language, &lines));
            }
            (Some((_, _, lines)), None) => lines.push(line),
            (None, None) => {}
        }
    }
    assert!(block.is_none(), "{page}: a block does not end");
    found
}

fn of_block(page: &str, begin: usize, language: &str, lines: &[&str]) -> Vec<Piece> {
    let page = || page.to_owned();
    if !matches!(language, "sh" | "bash" | "shell") {
        let listing = Some(lines.join("\n") + "\n");
        let first = lines.iter().find(|line| !line.trim().is_empty());
        let first = first.copied().unwrap_or_default().trim().to_owned();
        return vec![Piece { page: page(), line: begin, first, listing }];
    }
    let numbered = lines.iter().enumerate().filter(|(_, line)| !line.trim().is_empty());
    numbered
        .map(|(index, line)| {
            let first = line.split("  # ").next().unwrap_or_default().trim().to_owned();
            assert!(!first.ends_with('\\'), "{}: one command, one line: {first}", page());
            Piece { page: page(), line: begin + 1 + index, first, listing: None }
        })
        .collect()
}

fn of_manual(page: &str, text: &str) -> Vec<Piece> {
    let mut found = Vec::new();
    let mut lines = text.lines().enumerate().skip_while(|(_, line)| *line != ".Sh EXAMPLES");
    lines.next();
    let mut block: Option<(usize, Vec<&str>)> = None;
    for (index, line) in lines.take_while(|(_, line)| !line.starts_with(".Sh ")) {
        if let Some(command) = line.strip_prefix(".Dl ") {
            let first = command.replace("\\(dq", "\"").replace("\\&", "");
            found.push(Piece { page: page.to_owned(), line: index + 1, first, listing: None });
        } else if line.starts_with(".Bd ") {
            block = Some((index + 1, Vec::new()));
        } else if line == ".Ed" {
            let (begin, lines) = block.take().unwrap();
            found.extend(of_block(page, begin, "", &lines));
        } else if let Some((_, lines)) = &mut block {
            lines.push(line);
        } else {
            let is_text = !line.starts_with('.') || line == ".Pp";
            assert!(
                is_text,
                "{page}:{}: an example of a kind that is not known: {line}",
                index + 1
            );
        }
    }
    found
}

#[test]
fn commands_and_listings_are_found() {
    let text = "# A\n```sh\ncargo x   # why\n\nls -l\n```\n- b\n  ```toml\n  name = 1\n  ```\n";
    let found = of_markdown("p.md", text);
    let firsts: Vec<_> = found.iter().map(|it| (it.line, it.first.as_str())).collect();
    assert_eq!(firsts, [(3, "cargo x"), (5, "ls -l"), (8, "name = 1")]);
    assert_eq!(found[2].listing.as_deref(), Some("  name = 1\n"));
    let text =
        ".Sh OTHER\n.Dl no\n.Sh EXAMPLES\nText:\n.Dl a \\(dqb\\(dq\n.Bd -literal\nx\n\ny\n.Ed\n";
    let found = of_manual("p.8", &format!("{text}.Sh SEE ALSO\n.Dl no\n"));
    assert_eq!(found.len(), 2);
    assert_eq!(found[0].first, "a \"b\"");
    assert_eq!(found[1].listing.as_deref(), Some("x\n\ny\n"));
}
