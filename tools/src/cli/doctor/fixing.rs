//! `--fix`: what can be set now is shown, agreed to, set, read back, and told with its way back.

use std::fmt::Write as _;
use std::io::{self, BufRead as _, IsTerminal as _};
use std::path::Path;

use prp::os::ethtool::{Ethtool, Offload, Setting};
use rt_core::os::host::fix::{self, Outcome};
use rt_core::os::host::{Change, Finding, Level, Target};

use super::nic::{setting_name, value_text};
use crate::cli::text::Style;
use crate::exit::Failure;
use crate::report::doctor::ChangeRow;

/// A change, who asks for it, and what became of it.
#[derive(Clone, Debug)]
pub(super) struct Planned {
    pub(super) id: &'static str,
    pub(super) reason: String,
    pub(super) change: Change,
    pub(super) outcome: Option<Outcome>,
}

/// Every setting once, for the worst finding that asks for it.
pub(super) fn plan(findings: &[Finding]) -> Vec<Planned> {
    let mut planned: Vec<Planned> = Vec::new();
    for finding in findings.iter().filter(|finding| finding.level > Level::Fine) {
        for change in finding.changes() {
            if planned.iter().any(|other| other.change.target == change.target) {
                continue;
            }
            planned.push(Planned {
                id: finding.id,
                reason: format!("{}: {}", finding.subject, finding.seen),
                change: change.clone(),
                outcome: None,
            });
        }
    }
    planned
}

/// The list to agree to.
pub(super) fn list(planned: &[Planned], style: Style) -> String {
    let mut text = String::new();
    let (mut reason, mut caution) = ("", "");
    for Planned { reason: why, change, id, .. } in planned {
        if why != reason {
            let _ = writeln!(text, "{} [{id}]", style.head(why));
            (reason, caution) = (why, "");
        }
        if change.caution != caution {
            caution = &change.caution;
            let _ = writeln!(text, "    {}:", style.odd(caution));
        }
        let _ = writeln!(text, "    {}: {} → {}", change.target, change.old, change.new);
    }
    text
}

/// Asks at the terminal.
///
/// # Errors
/// The terminal cannot be read.
pub(super) fn is_agreed(count: usize) -> Result<bool, Failure> {
    let things = if count == 1 { "setting" } else { "settings" };
    crate::cli::print(&format!("\nSet {count} {things} now? [y/N] "))?;
    let mut answer = String::new();
    io::stdin()
        .lock()
        .read_line(&mut answer)
        .map_err(|error| Failure::failed(format!("the answer cannot be read: {error}"), ""))?;
    Ok(["y", "yes"].contains(&answer.trim().to_ascii_lowercase().as_str()))
}

/// Whether somebody is there to be asked.
pub(super) fn is_interactive() -> bool {
    io::stdin().is_terminal() && io::stdout().is_terminal()
}

/// Makes the changes, below `root` those of files.
pub(super) fn apply(planned: &mut [Planned], root: &Path) {
    for one in planned {
        one.outcome = Some(match &one.change.target {
            Target::File(_) => fix::apply(root, &one.change),
            Target::Device { device, setting } => set_device(device, setting, &one.change),
        });
    }
}

/// Makes a change of a network card.
fn set_device(device: &str, setting: &str, change: &Change) -> Outcome {
    let result = Ethtool::open().and_then(|ethtool| {
        let words = |which: Setting| setting_name(which.words());
        if let Some(which) = Setting::ALL.into_iter().find(|which| words(*which) == setting) {
            let Some(wanted) = value_of(&change.new) else { return Ok(None) };
            let text = |value: u32| value_text(which, value);
            let before = ethtool.setting(device, which)?.map(|value| text(value.now));
            if before.as_deref() != Some(&change.old) {
                return Ok(Some(Outcome::ChangedMeanwhile(before.unwrap_or_default())));
            }
            let after = ethtool.set_setting(device, which, wanted)?;
            return Ok(Some(judge(after.map(|value| text(value.now)), &change.new)));
        }
        let offload =
            Offload::MERGING.into_iter().find(|o| setting_name(("-K", o.name())) == setting);
        let Some(offload) = offload else { return Ok(None) };
        let text = |on: bool| if on { "on" } else { "off" }.to_owned();
        let after = ethtool.set_offload(device, offload, change.new == "on")?;
        Ok(Some(judge(after.map(text), &change.new)))
    });
    match result {
        Ok(Some(outcome)) => outcome,
        Ok(None) => Outcome::Refused("no such setting".to_owned()),
        Err(error) if [libc::EPERM, libc::EACCES].contains(&error.errno()) => {
            Outcome::NotPermitted(error.to_string())
        }
        Err(error) => Outcome::Refused(error.to_string()),
    }
}

fn judge(after: Option<String>, wanted: &str) -> Outcome {
    match after {
        Some(after) if after == wanted => Outcome::Applied,
        after => Outcome::NotKept(after.unwrap_or_else(|| "nothing".to_owned())),
    }
}

fn value_of(text: &str) -> Option<u32> {
    match text {
        "off" => Some(0),
        "on" => Some(1),
        number => number.parse().ok(),
    }
}

/// What became of the changes, and how to take them back.
pub(super) fn told(planned: &[Planned], style: Style) -> String {
    let mut text = String::new();
    let mut undo = String::new();
    for Planned { change, outcome, .. } in planned {
        let setting = &change.target;
        let word = match outcome {
            None => continue,
            Some(Outcome::Applied) => {
                let _ = writeln!(undo, "    {}", change.undo);
                style.good(&format!("set      {setting} is {} now", change.new))
            }
            Some(Outcome::ChangedMeanwhile(found)) => style.odd(&format!(
                "left     {setting} is {found} by now, not {} as it was: look again",
                change.old
            )),
            Some(Outcome::NotKept(found)) => style.odd(&format!(
                "NOT SET  {setting} was written and is {found}: `{}` if that differs from before",
                change.undo
            )),
            Some(Outcome::NotPermitted(why) | Outcome::Refused(why)) => {
                style.bad(&format!("NOT SET  {setting}: {why}"))
            }
        };
        let _ = writeln!(text, "{word}");
    }
    if !undo.is_empty() {
        let _ = write!(text, "\nTo take it back:\n{undo}");
    }
    text
}

/// What keeps the settings over the next start of the host, ready to paste.
///
/// `boot` is what the kernel's command line is to get, which is told beside.
pub(super) fn lasting(planned: &[Planned], boot: &[String]) -> String {
    let (mut sysctl, mut tmpfiles, mut udev, mut irq) =
        (String::new(), String::new(), String::new(), false);
    for Planned { change, .. } in planned {
        match &change.target {
            Target::File(path) => {
                let path = path.to_string_lossy();
                if let Some(name) = path.strip_prefix("/proc/sys/") {
                    let _ = writeln!(sysctl, "    {name} = {}", change.new);
                } else if path.starts_with("/proc/irq/") {
                    irq = true;
                } else {
                    let _ = writeln!(tmpfiles, "    w {path} - - - - {}", change.new);
                }
            }
            Target::Device { device, .. } => {
                let _ = writeln!(
                    udev,
                    "    ACTION==\"add\", SUBSYSTEM==\"net\", NAME==\"{device}\", \
                     RUN+=\"/usr/sbin/{}\"",
                    change.command
                );
            }
        }
    }
    let mut text = String::new();
    for (file, lines) in [
        ("/etc/sysctl.d/90-bumpless.conf", sysctl),
        ("/etc/tmpfiles.d/90-bumpless.conf", tmpfiles),
        ("/etc/udev/rules.d/90-bumpless.rules", udev),
    ] {
        if !lines.is_empty() {
            let _ = write!(text, "\nTo set it at each start, in {file}:\n{lines}");
        }
    }
    if irq {
        let is_it =
            |line: &&String| ["irqaffinity=", "isolcpus="].iter().any(|k| line.starts_with(k));
        let lines: Vec<&str> = boot.iter().filter(is_it).map(String::as_str).collect();
        text += "\nInterrupts may get other numbers at the next start. ";
        text += &match lines.is_empty() {
            true => "Look again then.\n".to_owned(),
            false => format!(
                "What keeps them away for good, on the\nkernel's command line: {}\n",
                lines.join(" ")
            ),
        };
    }
    text
}

/// For the document.
pub(super) fn rows(planned: &[Planned]) -> Vec<ChangeRow> {
    let row = |Planned { id, change, outcome, .. }: &Planned| {
        let (outcome, found) = match outcome {
            None => ("planned", None),
            Some(Outcome::Applied) => ("applied", None),
            Some(Outcome::ChangedMeanwhile(found)) => ("changed_meanwhile", Some(found)),
            Some(Outcome::NotKept(found)) => ("not_kept", Some(found)),
            Some(Outcome::NotPermitted(why)) => ("not_permitted", Some(why)),
            Some(Outcome::Refused(why)) => ("refused", Some(why)),
        };
        ChangeRow {
            id: (*id).to_owned(),
            setting: change.target.to_string(),
            old: change.old.clone(),
            new: change.new.clone(),
            command: change.command.clone(),
            undo: change.undo.clone(),
            caution: change.caution.clone(),
            outcome: outcome.to_owned(),
            found: found.cloned(),
        }
    };
    planned.iter().map(row).collect()
}
