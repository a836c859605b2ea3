//! What is shown while it runs: on a terminal one line that changes, elsewhere a line for each
//! fault when it is over.

use std::env;
use std::io::{self, IsTerminal as _, Write as _};

use super::faults::Fault;
use super::phase::Progress;
use super::report::{FaultReport, Verdict};
use crate::cli::text::{Style, number};

/// Columns of the bar.
const BAR_COLUMNS: u64 = 12;

/// Where progress is shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Screen {
    /// Standard output is for a document: people are told on standard error.
    json: bool,
    /// Nobody is told anything.
    quiet: bool,
    /// The line changes.
    live: bool,
    style: Style,
}

impl Screen {
    pub(super) fn new(json: bool) -> Self {
        let dumb = env::var_os("TERM").is_none_or(|term| term == "dumb");
        let terminal = if json { io::stderr().is_terminal() } else { io::stdout().is_terminal() };
        let style = if json { Style::of_stderr() } else { Style::of_stdout() };
        Self { json, quiet: json && !terminal, live: terminal && !dumb, style }
    }

    pub(super) const fn style(&self) -> Style {
        self.style
    }

    /// Writes text for people. Nobody reading any more changes nothing: the exit status is the
    /// result.
    pub(super) fn say(&self, text: &str) {
        if self.quiet {
            return;
        }
        let _ = if self.json {
            io::stderr().lock().write_all(text.as_bytes())
        } else {
            let mut stdout = io::stdout().lock();
            stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush())
        };
    }

    /// Says what is being done, where the line can change.
    pub(super) fn busy(&self, what: &str) {
        if self.live {
            self.say(&format!("\r\x1b[K{what} ..."));
        }
    }

    /// Takes a line that changes away.
    pub(super) fn clear(&self) {
        if self.live {
            self.say("\r\x1b[K");
        }
    }

    /// A fault is being shown.
    pub(super) fn progress(&self, place: (usize, usize), fault: &Fault, progress: Progress) {
        if !self.live {
            return;
        }
        let filled = usize::try_from(progress.done_per_mille * BAR_COLUMNS / 1_000).unwrap_or(0);
        let rest = usize::try_from(BAR_COLUMNS).unwrap_or(0).saturating_sub(filled);
        let bar = format!("[{}{}]", "#".repeat(filled), ".".repeat(rest));
        let answered = progress.answered;
        self.say(&format!(
            "\r\x1b[K{} {bar} PRP {} answered, single {}",
            head(place, fault),
            number(answered.prp),
            number(answered.single)
        ));
    }

    /// A fault has been shown.
    pub(super) fn done(&self, place: (usize, usize), fault: &Fault, row: &FaultReport) {
        self.clear();
        let (prp, single) = (&row.prp, &row.single);
        let claim = format!("PRP {} lost, {} twice", number(prp.lost), number(prp.twice));
        let claim = format!("{claim:<24}");
        let claim = match row.verdict {
            Verdict::Held => self.style.good(&claim),
            Verdict::Failed => self.style.bad(&claim),
            Verdict::Invalid => self.style.odd(&format!("invalid: {claim}")),
        };
        self.say(&format!(
            "{} {claim} single {} lost, {} twice\n",
            head(place, fault),
            number(single.lost),
            number(single.twice)
        ));
    }
}

fn head((number, count): (usize, usize), fault: &Fault) -> String {
    format!("{number:>3}/{count} {:<18}", fault.name)
}
