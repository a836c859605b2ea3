//! A process that uses the library: this test's own program, started again.

use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use rt_core::os::clock::{self, MonotonicClock};
use shm_replica::os::participant::{Options, Participant, RegionOptions, Restored, Setup};
use shm_replica::schema::{Block, Kind, SchemaBuilder};
use shm_replica::segment::RegionName;
use tools::netlab::Process;

/// Says to this program that it is to be a participant, and where.
const SOCKET: &str = "BUMPLESS_TEST_PARTICIPANT";
const CYCLE_NS: &str = "BUMPLESS_TEST_CYCLE_NS";
/// Longer than any test: a participant whose test was killed ends by itself.
const LIFE: rt_core::time::Duration = rt_core::time::Duration::from_secs(300);
const CYCLE: rt_core::time::Duration = rt_core::time::Duration::from_millis(1);

/// The command that makes this program a participant of the daemon in `folder`.
pub(crate) fn command(program: &Path, folder: &Path) -> Command {
    let mut command = Command::new(program);
    command.args(["--exact", "participant::be_one", "--nocapture"]);
    command.env(SOCKET, folder.join("regions.sock"));
    command
}

/// Starts a participant that says how long its cycle is.
pub(crate) fn start_with_cycle(name: &str, folder: &Path, cycle: Duration) -> Process {
    let program = std::env::current_exe().unwrap();
    let mut command = command(&program, folder);
    command.env(CYCLE_NS, cycle.as_nanos().to_string());
    Process::spawn(name, command).unwrap()
}

/// Starts a participant.
pub(crate) fn start(name: &str, folder: &Path) -> Process {
    let program = std::env::current_exe().unwrap();
    Process::spawn(name, command(&program, folder)).unwrap()
}

/// Waits until a participant has said a line that begins so.
#[track_caller]
pub(crate) fn says(process: &Process, beginning: &str) -> String {
    let said = process.wait_out(|line| line.starts_with(beginning), Duration::from_secs(60));
    said.unwrap_or_else(|| {
        panic!("{} did not say {beginning:?}: {} {}", process.name(), process.out(), process.err())
    })
}

/// What the image holds: the cycle, and its square.
fn schema() -> Vec<u8> {
    let mut buffer = [0; 256];
    let mut builder = SchemaBuilder::new(&mut buffer);
    builder.push(Block { name: "cycle", kind: Kind::U64, count: 1 }).unwrap();
    builder.push(Block { name: "square", kind: Kind::F64, count: 1 }).unwrap();
    builder.finish().unwrap().octets().to_vec()
}

/// No test, unless this program was started to be a participant: then it is one until it is ended.
#[test]
fn be_one() {
    let Some(socket) = std::env::var_os(SOCKET) else { return };
    let name = |text| RegionName::new(text).unwrap();
    let mut options = Options::new(name("plc"), socket.into());
    let cycle_ns = std::env::var(CYCLE_NS).map_or(0, |text| text.parse().unwrap());
    options.cycle = rt_core::time::Duration::from_nanos(cycle_ns);
    let mut setup = Setup::new(options);
    let schema = schema();
    let region = RegionOptions { schema, ..RegionOptions::new(name("plant"), 16) };
    setup.register(region).unwrap();
    match setup.activate() {
        Ok((participant, cyclic)) => cycles(&participant, cyclic),
        Err(error) => say(&format!("refused: {error}")),
    }
}

fn cycles(participant: &Participant, mut cyclic: shm_replica::os::participant::Cyclic) {
    let end = MonotonicClock::now() + LIFE;
    let mut before = (String::new(), 0, String::new());
    while MonotonicClock::now() < end {
        let cycle = cyclic.begin();
        let role = format!("{:?}", cycle.role).to_uppercase();
        let now = (role.clone(), cycle.epoch, participant.trouble());
        if now != before {
            let from = match cycle.took_over {
                Some(Restored::State { cycle, .. }) => format!(" from {cycle}"),
                Some(other) => format!(" from {other:?}"),
                None => String::new(),
            };
            say(&format!("{role} {}{from} {}", cycle.epoch, now.2));
            before = now;
        }
        if participant.may_act() {
            let number = cycle.number;
            #[allow(clippy::cast_precision_loss, reason = "some thousands")]
            let square = (number as f64) * (number as f64);
            let image = [number.to_ne_bytes(), square.to_ne_bytes()].concat();
            let _ = cyclic.commit(|_| [&image[..]]);
        }
        clock::sleep_until(cycle.began_at + CYCLE);
    }
}

fn say(line: &str) {
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "\n{}", line.trim_end()).unwrap();
    stdout.flush().unwrap();
}
