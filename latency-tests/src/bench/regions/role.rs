//! What a process of the bench is told when it is started, and how it runs.
//!
//! The reader prints `ready` when it looks, and each of the two a line of JSON when it is done.

use std::io::{self, Write as _};
use std::os::fd::AsFd as _;
use std::thread;

use clap::{Args, ValueEnum};
use rt_core::os::thread::{RtThread, RtThreadPlan};
use rt_core::time::Duration;
use serde::Serialize;
use shm_replica::os::segment::Segment;
use tools::exit::{ExitCode, Failure};

use super::course::{self, Observe, Plan, Publish};
use super::ends::{Line, RingReader, RingWriter};
use crate::bench::cpus::Cpus;

/// What a reader prints when it looks.
pub const READY: &str = "ready";
/// A writer stays so long after its last image: a contestant may take its memory with it.
const LINGER: std::time::Duration = std::time::Duration::from_millis(100);

/// Contestants put more on it than our own threads do.
const STACK_OCTETS: usize = 4 * 1024 * 1024;

/// Which end a process is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Side {
    /// Publishes.
    Writer,
    /// Observes.
    Reader,
    /// Passes a line first.
    Ping,
    /// Passes it back.
    Pong,
}

/// An end of a contestant.
#[derive(Args, Clone, Debug)]
pub struct Role {
    /// Which end
    #[arg(long, value_enum)]
    pub side: Side,
    /// Octets of an image
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=67_108_864))]
    image_octets: u32,
    /// Images that count
    #[arg(long)]
    images: u64,
    /// Images before those
    #[arg(long)]
    warm_up: u64,
    /// From one image to the next, in ns
    #[arg(long)]
    period_ns: u64,
    /// The reader sleeps and is woken
    #[arg(long)]
    woken: bool,
    /// The reader copies an image out that it could use where it lies
    #[arg(long)]
    pub copies_out: bool,
    /// The CPU
    #[arg(long)]
    cpu: Option<usize>,
}

impl Role {
    /// An end on a CPU.
    ///
    /// # Errors
    /// An image larger than any region's.
    pub fn new(side: Side, plan: &Plan, cpu: Option<usize>) -> Result<Self, Failure> {
        let too_large =
            |_| Failure::usage(format!("{} octets are no image", plan.image_octets), "");
        Ok(Self {
            side,
            image_octets: u32::try_from(plan.image_octets).map_err(too_large)?,
            images: plan.images,
            warm_up: plan.warm_up,
            period_ns: plan.period.as_nanos(),
            woken: plan.woken,
            copies_out: false,
            cpu,
        })
    }

    /// What it runs.
    #[must_use]
    pub const fn plan(&self) -> Plan {
        Plan {
            image_octets: self.image_octets as usize,
            images: self.images,
            warm_up: self.warm_up,
            period: Duration::from_nanos(self.period_ns),
            woken: self.woken,
        }
    }

    /// The same as a command line.
    #[must_use]
    pub fn arguments(&self) -> Vec<String> {
        let side = self.side.to_possible_value().map(|value| value.get_name().to_owned());
        let mut arguments = vec!["--side".to_owned(), side.unwrap_or_default()];
        let numbers = [
            ("--image-octets", u64::from(self.image_octets)),
            ("--images", self.images),
            ("--warm-up", self.warm_up),
            ("--period-ns", self.period_ns),
        ];
        arguments.extend(numbers.map(|(name, value)| format!("{name}={value}")));
        arguments.extend(self.woken.then(|| "--woken".to_owned()));
        arguments.extend(self.copies_out.then(|| "--copies-out".to_owned()));
        arguments.extend(self.cpu.map(|cpu| format!("--cpu={cpu}")));
        arguments
    }

    /// Runs an end of a contestant: one of the two is called, on the thread that it runs on.
    ///
    /// # Errors
    /// It does not run.
    pub fn run<W: Publish, R: Observe>(
        &self,
        writer: impl FnOnce() -> Result<W, Failure> + Send + 'static,
        reader: impl FnOnce() -> Result<R, Failure> + Send + 'static,
    ) -> Result<ExitCode, Failure> {
        let (plan, side) = (self.plan(), self.side);
        self.on_thread(move |gives_way| {
            if side == Side::Writer {
                let published = course::publish_all(&mut writer()?, &plan, gives_way)?;
                thread::sleep(LINGER);
                return json(&published);
            }
            let mut end = reader()?;
            say(READY);
            json(&course::observe_all(&mut end, &plan, gives_way)?)
        })
    }

    /// Runs an end of one of this package's contestants, whose segment is this process's standard
    /// input.
    ///
    /// # Errors
    /// It does not run, or there is no segment.
    pub fn run_own(&self, contestant: Own) -> Result<ExitCode, Failure> {
        let own = self.clone();
        let wakes = self.woken;
        let segment = move || own.segment();
        match contestant {
            Own::Ring => {
                let other = segment.clone();
                self.run(
                    move || RingWriter::new(segment()?, wakes),
                    move || RingReader::new(other()?),
                )
            }
            Own::Line if matches!(self.side, Side::Ping | Side::Pong) => {
                let passes = self.images;
                let is_first = self.side == Side::Ping;
                self.on_thread(move |gives_way| {
                    let line = Line::new(segment()?, false)?;
                    if !is_first {
                        say(READY);
                    }
                    json(&line.pass(passes, is_first, gives_way)?)
                })
            }
            Own::Line => {
                let other = segment.clone();
                self.run(move || Line::new(segment()?, wakes), move || Line::new(other()?, false))
            }
        }
    }

    fn segment(&self) -> Result<Segment, Failure> {
        let remedy = "this is a part of `bumpless-bench regions`, which hands it over";
        let failed = |why: String| Failure::failed(format!("standard input: {why}"), remedy);
        let file = io::stdin().as_fd().try_clone_to_owned().map_err(|e| failed(e.to_string()))?;
        let writable = self.side != Side::Reader;
        Segment::open(file, writable).map_err(|error| failed(error.to_string()))
    }

    fn on_thread(
        &self,
        body: impl FnOnce(bool) -> Result<String, Failure> + Send + 'static,
    ) -> Result<ExitCode, Failure> {
        let gives_way = Cpus::is_shared(self.cpu);
        let name = if self.side == Side::Writer { "region-writer" } else { "region-reader" };
        let plan = RtThreadPlan { stack_octets: STACK_OCTETS, ..Cpus::plan(name, self.cpu) };
        let thread = RtThread::spawn(plan, move || body(gives_way))
            .map_err(|error| Failure::failed(error.to_string(), ""))?;
        let text = thread.join().map_err(|panic| Failure::failed(panic.to_string(), ""))??;
        say(&text);
        Ok(ExitCode::Fine)
    }
}

/// The contestants that need nothing but this package.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Own {
    /// The ring of images.
    Ring,
    /// A cache line.
    Line,
}

fn say(line: &str) {
    // Who started this process is gone if it cannot be said, and then so is whom to tell.
    let mut out = io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

fn json(value: &impl Serialize) -> Result<String, Failure> {
    serde_json::to_string(value).map_err(|error| Failure::failed(error.to_string(), ""))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser, Debug)]
    struct CommandLine {
        #[command(flatten)]
        role: Role,
    }

    #[test]
    fn a_role_is_understood_as_it_was_said() {
        for (woken, cpu) in [(false, Some(3)), (true, None)] {
            let plan = Plan {
                image_octets: 64,
                images: 10,
                warm_up: 3,
                period: Duration::from_micros(50),
                woken,
            };
            let role = Role::new(Side::Reader, &plan, cpu).unwrap();
            let role = Role { copies_out: woken, ..role };
            let line = ["x".to_owned()].into_iter().chain(role.arguments());
            let heard = CommandLine::try_parse_from(line).unwrap().role;
            assert_eq!((heard.side, heard.plan(), heard.cpu), (Side::Reader, plan, cpu));
            assert_eq!(heard.copies_out, role.copies_out);
        }
    }
}
