//! The texts around the table.

use std::path::PathBuf;

use super::privilege::Privilege;
use super::report::{DemoReport, Verdict};
use super::stage::RATE;
use crate::cli::text::{Style, number};

/// What is going to be shown.
pub(super) fn opening(style: Style) -> String {
    let title = style.head("bumpless demo: the same faults, with PRP and without");
    format!(
        "{title}

    host 1 --+-- LAN A --+-- host 2     bumplessd on both: what is sent on prp0
             +-- LAN B --+              goes over both LANs, arrives once
    host 3 ----- LAN ------- host 4     one LAN, nothing of ours

Each pair exchanges {} numbered requests and answers a second (UDP) while a
bulk transfer (TCP) goes on. The single LAN takes every fault that LAN A or B
takes. All of it lives in network namespaces of its own: the interfaces of
this machine are not touched.
",
        number(RATE)
    )
}

/// Under which conditions.
pub(super) fn conditions(privilege: Privilege, degraded: &[String]) -> String {
    let who = match privilege {
        Privilege::Root => "Running as root",
        Privilege::UserNamespace => "Running without root, in a user namespace",
    };
    if degraded.is_empty() {
        return format!("{who}: the daemons run with real-time scheduling and locked memory.\n\n");
    }
    let mut text = format!("{who}. Counts do not depend on it, times do:\n");
    for reason in degraded {
        // The remedy is for the installed daemon; here the reason is enough.
        let short = reason.split("; ").next().unwrap_or(reason);
        text += &wrapped(short, "  - ");
    }
    text + "\n"
}

/// A sentence in lines of 78 columns, the first headed by `head`, the others as far in.
fn wrapped(sentence: &str, head: &str) -> String {
    const COLUMNS: usize = 78;
    let mut text = String::new();
    let mut line = head.to_owned();
    let indent = " ".repeat(head.len());
    let mut fresh = true;
    for word in sentence.split_whitespace() {
        if !fresh && line.chars().count() + 1 + word.chars().count() > COLUMNS {
            text += &format!("{line}\n");
            line.clone_from(&indent);
            fresh = true;
        }
        if !fresh {
            line.push(' ');
        }
        line += word;
        fresh = false;
    }
    text + &line + "\n"
}

/// How to look into what still runs.
pub(super) fn keeping(privilege: Privilege, ids: &[u32], folders: &[PathBuf]) -> String {
    let enter = |id: &u32| match privilege {
        Privilege::Root => format!("nsenter --net --target {id}"),
        Privilege::UserNamespace => {
            format!("nsenter --user --preserve-credentials --net --target {id}")
        }
    };
    let mut text =
        "All of it still runs, with an exchange over PRP. From another terminal:\n\n".to_owned();
    for ((id, folder), host) in ids.iter().zip(folders).zip(1..) {
        text += &format!("  host {host}  {}\n", enter(id));
        text += &format!("          bumpless status --runtime-dir {}\n", folder.display());
    }
    text + "\n\
           Inside host 1, `ip link set dev lan_a down` pulls a cable, `up` puts it back;\n\
           `bumpless top --runtime-dir DIR` shows what becomes of it.\n\
           Enter or Ctrl-C ends it.\n"
}

/// What it meant, what it was, where to go on.
pub(super) fn closing(report: &DemoReport, style: Style) -> String {
    let sent: u64 = report.faults.iter().map(|row| row.prp.sent).sum();
    let lost: u64 = report.faults.iter().map(|row| row.single.lost).sum();
    let result = match report.verdict {
        Verdict::Held => style.good(&format!(
            "The claim held: PRP lost 0 of {} exchanges and delivered 0 twice; its transfer\n\
             arrived intact and never stalled. The single LAN lost {}.",
            number(sent),
            number(lost)
        )),
        // The end of the program says what was wrong.
        Verdict::Failed => style.bad("The claim did not hold."),
        Verdict::Invalid => style.odd("The figures do not tell whether the claim holds."),
    };
    format!(
        "{result}

What ran ({} s; all of it has ended)
  host 1, 2    bumplessd --name prp0 --protocol prp --lan-a lan_a --lan-b lan_b
  host 1, 3    bumpless-stream ping       host 2, 4    bumpless-stream echo
  host 1, 3    bumpless-stream bulk send  host 2, 4    bumpless-stream bulk recv
  in cables    bumpless-impair, one in each LAN's cable to host 2 and 4
Where to look next
  bumpless demo --keep    leave it running, and see what `bumpless status` says
  README.md               \"Run it for real\": two network cards instead of veth
  docs/architecture.md    how it is built, and what always holds
",
        report.duration_ns / 1_000_000_000
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_fit_80_columns() {
        let folders = [PathBuf::from("/dev/shm/bumpless-lab-4194304-0/host1")];
        let reasons = ["memory cannot be locked: 31793152 octets are mapped, RLIMIT_MEMLOCK \
                        allows 8388608 and CAP_IPC_LOCK is held in a user namespace only, where \
                        it does not count; run as root"
            .to_owned()];
        for text in [
            opening(Style::PLAIN),
            conditions(Privilege::Root, &[]),
            conditions(Privilege::UserNamespace, &reasons),
            keeping(Privilege::UserNamespace, &[4_194_304], &folders),
        ] {
            for line in text.lines() {
                assert!(line.chars().count() <= 80, "{line}");
            }
        }
    }

    #[test]
    fn sentences_are_wrapped_between_words() {
        let text = wrapped(&"word ".repeat(40), "  - ");
        assert!(text.starts_with("  - word word"));
        assert!(text.lines().skip(1).all(|line| line.starts_with("    word")));
        assert_eq!(text.split_whitespace().filter(|&word| word == "word").count(), 40);
    }
}
