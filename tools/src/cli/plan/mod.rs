//! `bumpless plan`: the real-time threads of a configuration, as the daemon would start them here;
//! or, where a takeover is asked about, timers and bounds of a pair, or what stands in their way.
//!
//! | Module | Holds |
//! |---|---|
//! | `options` | the command line of such a question |
//! | `span` | spans of time as people write them |
//! | `takeover` | the answer |
//! | `words` | the answer for people |
//! | `document` | the answer for other programs |

mod document;
mod options;
mod span;
mod takeover;
mod words;

use rt_core::os::host;
use serde_json::json;

use super::text::{Side, Style, Table};
use super::{PlanArgs, doctor, finish, json};
use crate::config::{DaemonConfig, ReceiveMode, ThreadPolicy};
use crate::daemon::thread_plan::{self, PlannedThread};
use crate::exit::{ExitCode, Failure};
pub(super) use options::TakeoverArgs;

pub(super) fn run(args: &PlanArgs) -> Result<ExitCode, Failure> {
    if args.takeover.is_asked() {
        return answer(args);
    }
    let config = match &args.config {
        Some(file) => DaemonConfig::from_file(file)?.config,
        None => DaemonConfig::from_toml(DEFAULTS)
            .map(|checked| checked.config)
            .map_err(|errors| errors.into_failure(None))?,
    };
    let isolated = host::isolated_cpus();
    // A daemon that keeps regions only has no real-time thread.
    let lre = config.lans.as_ref().map(|_| thread_plan::lre(&config, &isolated));
    thread_plan::check(lre.as_slice())?;
    if args.json {
        let threads: Vec<_> = lre.iter().map(|lre| doctor::thread_row(&lre.for_host())).collect();
        let document = json!({
            "schema": crate::report::SCHEMA,
            "receive_mode": config.receive_mode.name(),
            "isolated_cpus": isolated,
            "threads": threads,
        });
        return finish(&json(&document)?);
    }
    let mut table = Table::new(&[
        ("Thread", Side::Left),
        ("Policy", Side::Left),
        ("CPU", Side::Left),
        ("Waits", Side::Left),
    ]);
    if let Some(lre) = &lre {
        table.row(lre_row(lre, &config));
    }
    let control = ["control", "SCHED_OTHER", "any", "for sockets and timers"];
    table.row(control.map(str::to_owned).to_vec());
    finish(&(table.render(Style::of_stdout()) + "\nbumpless doctor judges this host against it.\n"))
}

fn answer(args: &PlanArgs) -> Result<ExitCode, Failure> {
    let config = match &args.config {
        Some(file) => Some(DaemonConfig::from_file(file)?.config),
        None => None,
    };
    let answer = takeover::Answer::of(&args.takeover, config.as_ref())?;
    let text = if args.json { json(&answer.document())? } else { answer.text(Style::of_stdout()) };
    finish(&text)?;
    Ok(if answer.is_possible() { ExitCode::Fine } else { ExitCode::Failed })
}

fn lre_row(lre: &PlannedThread, config: &DaemonConfig) -> Vec<String> {
    let waits = match config.receive_mode {
        ReceiveMode::Busy => "never (receive_mode busy)",
        ReceiveMode::Adaptive { .. } => "after a time of polling (receive_mode adaptive)",
        ReceiveMode::Block => "for frames (receive_mode block)",
    };
    let cpu = match (lre.plan.cpu, config.threads.lre.cpu) {
        (Some(cpu), Some(_)) => format!("{cpu}, as configured"),
        (Some(cpu), None) => format!("{cpu}, the last isolated one"),
        (None, _) if config.threads.lre.policy == ThreadPolicy::Other => "any".to_owned(),
        (None, _) => "any, for none is isolated (isolcpus=)".to_owned(),
    };
    vec![lre.plan.name.clone(), lre.plan.policy.to_string(), cpu, waits.to_owned()]
}

/// The keys that have no default; they change nothing about threads.
const DEFAULTS: &str = "name = \"prp0\"\nprotocol = \"prp\"\nlan_a = \"eth1\"\nlan_b = \"eth2\"\n";
