//! What the manual page says of the control socket.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;

use serde_json::{Value, json};

use crate::blocks::read;
use crate::host::PATIENCE;

/// The requests that the page lists, as documents.
fn listed() -> Vec<Value> {
    let page = read("docs/man/bumplessd.8");
    let (_, rest) = page.split_once(".Sh CONTROL SOCKET\n").unwrap();
    let (section, _) = rest.split_once(".Sh ").unwrap();
    let (_, list) = section.split_once("\nRequests are\n").unwrap();
    let (list, _) = list.split_once("\nThe answer is").unwrap();
    let words = list.lines().filter_map(|line| line.strip_prefix(".Ql "));
    let words = words.map(|it| it.trim_end_matches([' ', ',', '.']));
    let mut found: Vec<Value> = words
        .map(|it| serde_json::from_str(it).unwrap_or_else(|_| json!({ "request": it })))
        .collect();
    // And those that it shows elsewhere.
    let shown = section.lines().filter_map(|line| line.strip_prefix(".Ql "));
    let shown = shown.map(|it| it.trim_end_matches([' ', ',', '.']));
    found.extend(shown.filter_map(|it| serde_json::from_str(it).ok()));
    found
}

/// The requests that there are.
fn existing() -> BTreeSet<String> {
    let source = read("tools/src/control/protocol.rs");
    let (_, rest) = source.split_once("pub enum Request {\n").unwrap();
    let (variants, _) = rest.split_once("\n}\n").unwrap();
    let lines = variants.lines().filter_map(|line| line.strip_prefix("    "));
    let names = lines.filter(|line| line.starts_with(|c: char| c.is_ascii_uppercase()));
    names.map(|it| it.trim_end_matches([' ', '{', ',']).to_lowercase()).collect()
}

#[test]
fn the_page_lists_every_request() {
    let listed: BTreeSet<String> =
        listed().iter().map(|it| it["request"].as_str().unwrap().to_owned()).collect();
    assert_eq!(listed, existing());
}

/// A daemon understands each, whether it has what is asked for or not. (A switchover is left to the
/// test that has a standby for it.)
pub(crate) fn are_answered(socket: &Path) {
    for request in listed().into_iter().filter(|it| it["request"] != "switchover") {
        let mut stream = UnixStream::connect(socket).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        writeln!(stream, "{request}").unwrap();
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).unwrap();
        let answer: Value = serde_json::from_str(&line).unwrap();
        let refused = answer["reply"] == "refused";
        assert!(!refused || answer["code"] == "not_possible", "{request}: {answer}");
    }
}
