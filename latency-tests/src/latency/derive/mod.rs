//! From recordings of both hosts and both LANs to the timers of a takeover, and to the J that the
//! daemon's configuration keeps.
//!
//! The reckoning is [`rt_core::os::jitter`]'s; here its input is taken from documents, and what
//! follows is told. What cannot be relied upon is refused with the reason: an invalid run never
//! becomes a timer.
//!
//! | Module | Holds |
//! |---|---|
//! | `input` | which series of which document stands for what |
//! | `options` | the command line |
//! | `document` | what follows, for other programs |
//! | `words` | the same for people |

mod document;
mod input;
mod options;
mod words;

use std::io::Write as _;
use std::path::Path;

use rt_core::os::jitter::{self, Derivation, Goal, Stored, StoredHost};
use rt_core::time::Duration;
use tools::cli::text::Style;
use tools::exit::{ExitCode, Failure};

use super::files;
use super::out::json;

pub use document::{Document, SCHEMA};
pub use input::{Host, Material};
pub use options::Options;

/// What follows from some documents.
#[derive(Clone, Debug)]
pub struct Derived {
    /// What it was derived from.
    pub material: Material,
    /// What was asked for.
    pub goal: Goal,
    /// What follows.
    pub derivation: Derivation,
    /// What whoever uses the figures should know, a sentence each.
    pub cautions: Vec<String>,
}

/// How much time between false suspicions is there, and was wanted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Wanted {
    /// The mean time that was asked for.
    pub between: Duration,
    /// Whether the recordings support it, with both LANs.
    pub is_supported: bool,
    /// How long recordings without any such event would have to be.
    pub recording: Duration,
}

/// Reads, derives, tells; the way of the program.
///
/// # Errors
/// Usage: files that cannot be read or are none, options that contradict each other. Invalid: a
/// document whose run proves nothing, or that lacks what is needed.
pub fn run(options: &Options) -> Result<ExitCode, Failure> {
    let derived = derive(Material::read(options)?, options.goal())?;
    let written = match &options.write {
        Some(path) => write(path, &derived.stored().to_toml())?.then_some(path),
        None => None,
    };
    let text = if options.json {
        json::text(&Document::new(&derived))
    } else if options.toml {
        derived.stored().to_toml()
    } else {
        let mut text = words::text(&derived, Style::of_stdout());
        if let Some(path) = written {
            text += &format!("Written: {}, for the configuration of both nodes\n", path.display());
        }
        text
    };
    // A reader that has gone has seen enough.
    let _gone = std::io::stdout().write_all(text.as_bytes());
    Ok(derived.exit_code())
}

/// Derives from what was read.
///
/// # Errors
/// Something is missing without which nothing follows (code 4).
pub fn derive(material: Material, goal: Goal) -> Result<Derived, Failure> {
    let derivation = jitter::derive(&material.input, &goal).map_err(|absent| {
        let remedy = match absent {
            jitter::Absent::RoundTrip { .. } => input::RECORD_ROUND_TRIPS,
            _ => input::RECORD_LATENESS,
        };
        Failure::new(ExitCode::Invalid, absent.to_string(), remedy)
    })?;
    let mut derived = Derived { material, goal, derivation, cautions: Vec::new() };
    derived.cautions = derived.cautions();
    Ok(derived)
}

impl Derived {
    /// What is kept in the configuration.
    #[must_use]
    pub fn stored(&self) -> Stored {
        let Self { material, derivation, .. } = self;
        let [a, b] = &derivation.lans;
        let hosts = derivation.hosts.iter().zip(&material.hosts).map(|(of, host)| StoredHost {
            name: of.name.clone(),
            bound: of.used(),
            method: of.method(),
            // In whole seconds, as it is written.
            horizon: Duration::from_secs(of.horizon().as_millis() / 1_000),
            samples: of.bounds.iter().map(|it| it.cycles).sum(),
            facts: host.facts.clone(),
        });
        Stored {
            measured_s: material.hosts.iter().map(|it| it.began_s).min().unwrap_or(0),
            program: concat!("bumpless-latency ", env!("CARGO_PKG_VERSION")).to_owned(),
            jitter: derivation.measured.jitter,
            round_trip: [a.used(), b.used()],
            hosts: hosts.collect(),
        }
    }

    /// The page for people, without colour.
    #[must_use]
    pub fn text(&self) -> String {
        words::text(self, Style::PLAIN)
    }

    /// How what is supported stands to what was asked for, where something was.
    #[must_use]
    pub fn wanted(&self) -> Option<Wanted> {
        let between = self.goal.between?;
        let is_supported = self.derivation.with_both.supported() >= between;
        // Two hosts and the LANs, each by the rule of three.
        let recording = between.saturating_mul(9);
        Some(Wanted { between, is_supported, recording })
    }

    /// 0 where all holds that was asked for, 1 where an inequality does not, or the recordings do
    /// not support the wanted time.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        let is_supported = self.wanted().is_none_or(|it| it.is_supported);
        if self.derivation.holds() && is_supported { ExitCode::Fine } else { ExitCode::Failed }
    }

    fn cautions(&self) -> Vec<String> {
        let Self { material, derivation, .. } = self;
        let mut said = material.cautions.clone();
        let heartbeat = derivation.heartbeat;
        if heartbeat.interval < heartbeat.least {
            said.push(format!(
                "a beat is due each {}, before the one before it has surely been sent and answered \
                 ({}): a late one swallows others",
                heartbeat.interval, heartbeat.least
            ));
        }
        let recorded = material.input.period_max();
        if heartbeat.interval < recorded {
            said.push(format!(
                "recorded with a period of {recorded}, for beats each {}: stalls shorter than that \
                 were not all seen, so that everything later than what is borne without them \
                 counts; record with --interval {}",
                heartbeat.interval,
                heartbeat.interval.as_micros()
            ));
        }
        said
    }
}

/// Writes the table; whether there is a file now.
fn write(path: &Path, text: &str) -> Result<bool, Failure> {
    let shown = path.display();
    if files::is_stdout(path) {
        let what = format!("--write: {shown} is standard output, where what follows is told");
        return Err(Failure::usage(what, "say --toml to have the table there"));
    }
    files::put(path, text.as_bytes())
        .map_err(|error| Failure::usage(format!("--write: {shown}: {error}"), files::WRITABLE))
}
