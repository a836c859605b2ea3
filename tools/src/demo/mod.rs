//! `bumpless demo`: the main job, shown at work.
//!
//! Two hosts on two LANs with a daemon each, and beside them two hosts on a single LAN without, all
//! in network namespaces of their own; the same faults for both, one after the other; one table.
//! What is counted is counted by the exchange itself, numbered requests and their answers, in a
//! program that knows nothing of PRP; the daemons' counters are not asked.
//!
//! | Module | Holds | Touches the system |
//! |---|---|---|
//! | `faults` | the list of faults | no |
//! | `verdict` | what the figures say | no |
//! | `report`, `table`, `words` | how it is told | no |
//! | `privilege` | namespaces, with root or without | yes |
//! | `stage` | hosts, LANs and the programs on them | yes |
//! | `phase` | one fault from beginning to end | yes |
//! | `starvation` | whether the machine let the programs run | yes |
//! | `screen`, `interrupt` | terminal and signals | yes |
//!
//! Thread class: never a real-time thread.

use clap::Args;
use rt_core::os::clock::MonotonicClock;
use rt_core::time::Duration;

use crate::exit::{ExitCode, Failure};
use crate::netlab::Programs;

mod faults;
mod interrupt;
mod phase;
pub(crate) mod privilege;
pub mod report;
mod screen;
mod stage;
mod starvation;
mod table;
mod verdict;
mod words;

use faults::Fault;
use interrupt::Interrupts;
use phase::{Phase, Timing};
use privilege::Privilege;
use report::{Bulk, DemoReport, FaultReport, Pairs, Verdict};
use screen::Screen;
use stage::{Pair, Stage};
use starvation::Starvation;

/// How often it is looked after whether a warming exchange is over.
const TURN: Duration = Duration::from_millis(10);
/// Version of the document's shape.
const SCHEMA: u32 = 1;
/// What shows a fault well.
const SHOWN: Timing = Timing { calm_ms: 300, fault_ms: 1_800 };
/// What is enough for a count.
const QUICK: Timing = Timing { calm_ms: 150, fault_ms: 450 };

/// `bumpless demo`.
#[derive(Args, Clone, Debug)]
pub struct DemoArgs {
    /// Print one JSON document instead of the table
    #[arg(long)]
    pub json: bool,

    /// Shorter faults: some 15 s in all
    #[arg(long)]
    pub quick: bool,

    /// At the end also cut both LANs at once: the claim then fails, and so does the demo (code 1)
    #[arg(long)]
    pub cut_both: bool,

    /// Leave all running at the end and say how to look into it, until Enter or Ctrl-C
    #[arg(long)]
    pub keep: bool,
}

/// Runs the demo.
///
/// # Errors
/// The claim did not hold or something broke (code 1), namespaces are not allowed or a program is
/// not there (code 3), the figures say nothing (code 4).
pub fn run(args: &DemoArgs) -> Result<ExitCode, Failure> {
    let programs = Programs::find(&stage::PROGRAMS).map_err(stage::failure)?;
    let privilege = privilege::obtain()?;
    let interrupts = Interrupts::catch()?;
    let screen = Screen::new(args.json);
    let demo = Demo { args, interrupts, screen, faults: faults::list(args.cut_both) };
    let result = demo.run(programs, privilege);
    if result.is_err() {
        demo.screen.clear();
    }
    let report = result?;
    match report.verdict {
        Verdict::Held => Ok(ExitCode::Fine),
        Verdict::Failed => Err(Failure::failed(
            format!("the claim did NOT hold: {}", report.reasons.join("; ")),
            "",
        )),
        Verdict::Invalid => Err(Failure::new(
            ExitCode::Invalid,
            format!("the measurement is invalid: {}", report.reasons.join("; ")),
            "run it again on a machine with less to do",
        )),
    }
}

struct Demo<'a> {
    args: &'a DemoArgs,
    interrupts: Interrupts,
    screen: Screen,
    faults: Vec<Fault>,
}

impl Demo<'_> {
    fn run(&self, programs: Programs, privilege: Privilege) -> Result<DemoReport, Failure> {
        let start = MonotonicClock::now();
        let timing = if self.args.quick { QUICK } else { SHOWN };
        self.screen.say(&words::opening(self.screen.style()));
        self.screen.busy("Building hosts and LANs");
        let mut stage = Stage::set(programs)?;
        self.warm_up(&mut stage)?;
        let degraded = stage.degraded()?;
        stage.start_bulks()?;
        let mut starvation = Starvation::watch(stage.ids_that_must_run());
        self.screen.clear();
        self.screen.say(&words::conditions(privilege, &degraded));
        let mut rows = Vec::new();
        for (fault, number) in self.faults.iter().zip(1..) {
            let place = (number, self.faults.len());
            let phase = Phase { number, fault, timing };
            let show = |progress| self.screen.progress(place, fault, progress);
            let row = phase.play(&mut stage, &self.interrupts, &mut starvation, show)?;
            self.screen.done(place, fault, &row);
            rows.push(row);
        }
        self.screen.busy("Ending the transfers");
        let bulk = stage.finish_bulks()?;
        let report = DemoReport {
            user_namespace: privilege == Privilege::UserNamespace,
            degraded,
            duration_ns: MonotonicClock::now().since(start).as_nanos(),
            ..conclude(rows, bulk, starvation.longest_ns())
        };
        self.screen.clear();
        self.tell(&report)?;
        if self.args.keep {
            self.keep(&stage, privilege)?;
        }
        self.screen.busy("Ending all");
        drop(stage);
        self.screen.clear();
        if !self.args.json {
            self.screen.say(&words::closing(&report, self.screen.style()));
        }
        Ok(report)
    }

    /// Exchanges until all is answered: daemons keep silent at first, addresses are asked for.
    fn warm_up(&self, stage: &mut Stage) -> Result<(), Failure> {
        const SPAN_MS: u64 = 100;
        const TRIES: u32 = 20;
        for _ in 0..TRIES {
            let mut lost = 0;
            let pings = [stage.ping(Pair::Prp, 0, SPAN_MS)?, stage.ping(Pair::Single, 0, SPAN_MS)?];
            for mut ping in pings {
                while ping.is_running() {
                    stage.check()?;
                    self.interrupts.sleep_until(MonotonicClock::now() + TURN)?;
                }
                lost += stage::account(ping)?.exchange().lost;
            }
            if lost == 0 {
                return Ok(());
            }
        }
        Err(Failure::failed("the hosts do not reach each other, without any fault", ""))
    }

    fn tell(&self, report: &DemoReport) -> Result<(), Failure> {
        if self.args.json {
            return crate::cli::print_document(report);
        }
        let table = table::render(report, &self.faults, self.screen.style());
        self.screen.say(&format!("\n{table}\n"));
        Ok(())
    }

    /// Leaves all running until somebody has seen enough.
    fn keep(&self, stage: &Stage, privilege: Privilege) -> Result<(), Failure> {
        let folders = [stage.runtime_dir(0), stage.runtime_dir(1)];
        self.screen.say(&words::keeping(privilege, &stage.daemon_ids(), &folders));
        // Something to be seen in the counters.
        let _traffic = stage.ping(Pair::Prp, 0, u64::from(u32::MAX))?;
        self.interrupts.wait_for_enter();
        Ok(())
    }
}

/// The document, but for what is known of the run as a whole.
fn conclude(
    faults: Vec<FaultReport>,
    bulk: Pairs<Option<Bulk>>,
    longest_wait_ns: u64,
) -> DemoReport {
    let (of_bulk, reasons_of_bulk) = verdict::judge_bulk(bulk.prp.as_ref(), longest_wait_ns);
    let of_rows = faults.iter().map(|row| row.verdict).max().unwrap_or(Verdict::Invalid);
    let named = |(name, reason): (&str, &String)| format!("{name}: {reason}");
    let rows = faults.iter().flat_map(|row| row.reasons.iter().map(|why| (row.text.as_str(), why)));
    let bulks = reasons_of_bulk.iter().map(|why| ("bulk transfer over PRP", why));
    let reasons = rows.chain(bulks).map(named).collect();
    DemoReport {
        schema: SCHEMA,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        verdict: of_rows.max(of_bulk),
        reasons,
        user_namespace: false,
        degraded: Vec::new(),
        requests_per_second: stage::RATE,
        longest_wait_ns,
        faults,
        bulk,
        duration_ns: 0,
    }
}
