//! A lane: one world, in which somebody is killed again and again, until it was often enough.
//!
//! At its birth each actor is given its death: at some instruction of a window, or at some instant.
//! The lane keeps as many alive as a real system has, two standbys and a reader beside the owner,
//! looks at each takeover, and counts whom it does not see getting on.

use std::io;
use std::path::{Path, PathBuf};

use nix::sys::ptrace;
use nix::unistd::{Pid, alarm};
use rt_core::os::clock::{MonotonicClock, sleep_until};
use rt_core::time::{Duration, Instant};
use shm_replica::attach::StandbyClass;

use super::actor::{Sizes, Window};
use super::board::Field;
use super::content::mixed;
use super::report::{AT_ITS_END, Report};
use super::step::{Look, Stepped, look, run_to_call, seize, step, step_to_call, step_turn};
use super::world::{Broken, Member, STUCK, World};
use crate::os::process::interrupt_on_alarm;

/// Standbys beside the owner.
const STANDBYS: usize = 2;
/// Kills between two counts of the memory.
const CENSUS_EVERY: u64 = 300;
/// Worlds that are given up for a broken rule before the lane is.
const BROKEN_MAX: usize = 8;
/// Apart from each other in a walk over all offsets: a prime.
const STRIDE: u64 = 7_919;
/// How long one look at everybody may take, with stepping one of them through a window.
const STUCK_S: u32 = 60;
/// As long one turn of the daemon.
const TURN_S: u32 = 5;
#[allow(clippy::cast_sign_loss, reason = "numbers of system calls are positive")]
const CONNECT: u64 = libc::SYS_connect as u64;

/// What a lane does.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Orders {
    /// Where it may leave its things.
    pub folder: PathBuf,
    /// The daemon's program.
    pub daemon: PathBuf,
    /// How many kills.
    pub kills: u64,
    /// Of all that is random.
    pub seed: u64,
    /// Whether images are large.
    pub large: bool,
    /// After which it ends, however many kills there were.
    pub until: Instant,
}

/// Runs a lane to its end.
///
/// # Errors
/// No world can be started at all.
pub fn run(orders: &Orders) -> io::Result<Report> {
    interrupt_on_alarm()?;
    let began = MonotonicClock::now();
    let mut report = Report::default();
    while report.total() < orders.kills && MonotonicClock::now() < orders.until {
        let mut lane = Lane::new(orders, report)?;
        let ended = lane.live();
        report = std::mem::take(&mut lane.report);
        if let Err(Broken(what)) = ended {
            report.broken.push(what);
            if report.broken.len() >= BROKEN_MAX {
                break;
            }
        }
    }
    report.seconds = MonotonicClock::now().since(began).as_nanos() as f64 / 1e9;
    Ok(report)
}

struct Lane<'o> {
    orders: &'o Orders,
    world: World,
    report: Report,
    random: u64,
    /// When the last owner was killed whom nobody has followed yet.
    ownerless_since: Option<Instant>,
    daemon_dies_at: Instant,
    /// When it was started.
    daemon_since: Instant,
    /// How long somebody was stepped, all in all: meanwhile nobody else is looked after, and what
    /// others wait for does not come.
    stepped: Duration,
    /// When the last owner was killed or followed, and when the service manager's store was
    /// complete last, by [`Self::watch`].
    owned_at: Instant,
    kept_at: Instant,
    census_at: u64,
}

const fn us(us: u64) -> Duration {
    Duration::from_nanos(us * 1_000)
}

fn window_name(window: Window, class: Option<StandbyClass>) -> &'static str {
    match (window, class) {
        (Window::Attach, Some(_)) => "attach",
        (Window::Attach, None) => "attach of a reader",
        (Window::Publish(_), _) => "publish",
        (Window::Follow(_), _) => "follow",
        (Window::TakeOver, _) => "take over",
        (Window::Read(_), _) => "read",
    }
}

const fn class_name(class: StandbyClass) -> &'static str {
    match class {
        StandbyClass::Hot => "hot",
        StandbyClass::Warm => "warm",
        StandbyClass::Cold => "cold",
    }
}

impl<'o> Lane<'o> {
    fn new(orders: &'o Orders, report: Report) -> io::Result<Self> {
        let random = mixed(orders.seed).wrapping_add(report.total());
        let sizes = if orders.large { Sizes::LARGE } else { Sizes::SMALL };
        let world = World::start(&folder(orders), &orders.daemon, random, sizes)?;
        let now = MonotonicClock::now();
        let census_at = report.total() + CENSUS_EVERY;
        let mut lane = Self {
            orders,
            world,
            report,
            random,
            ownerless_since: Some(now),
            daemon_dies_at: now,
            daemon_since: now,
            stepped: Duration::ZERO,
            owned_at: now,
            kept_at: now,
            census_at,
        };
        lane.report.daemons += 1;
        lane.daemon_dies_at = now.saturating_add(us(1_000_000));
        Ok(lane)
    }

    /// A clock that stands still while somebody is stepped.
    fn watch(&self) -> Instant {
        MonotonicClock::now() - self.stepped
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mixed(self.random) % bound.max(1)
    }

    fn live(&mut self) -> Result<(), Broken> {
        while self.report.total() < self.orders.kills && MonotonicClock::now() < self.orders.until {
            alarm::set(STUCK_S);
            self.world.look_at_daemon()?;
            self.fill_up()?;
            if !self.look_at_all()? {
                sleep_until(MonotonicClock::now().saturating_add(us(50)));
            }
            // Where the manager does not have it yet, the state is with its owner and the daemon:
            // what kills both of them loses it.
            let has_owner = self.world.members.iter().any(|it| it.is_owner);
            let may_end_daemon = has_owner || self.world.is_state_kept();
            if MonotonicClock::now() >= self.daemon_dies_at && may_end_daemon {
                self.end_daemon()?;
            }
            if self.report.total() >= self.census_at && self.world.is_state_kept() {
                self.census()?;
            }
        }
        self.census()
    }

    // ---- Births ---------------------------------------------------------------------------------

    /// As many as there have to be.
    fn fill_up(&mut self) -> Result<(), Broken> {
        let is_solid = |it: &&Member| {
            let passes = matches!(it.window, Some(Window::Attach | Window::Follow(_)));
            it.class.is_some() && !passes
        };
        while self.world.members.iter().filter(is_solid).count() <= STANDBYS
            && self.world.has_room()
        {
            let (class, window) = self.controller();
            self.world.spawn(Some(class), window, us(3_600_000_000))?;
        }
        if self.world.members.iter().all(|it| it.class.is_some()) && self.world.has_room() {
            let (window, lives) = match self.below(6) {
                0..3 => (Some(Window::Attach), 0),
                3 => (None, 1 + self.below(20_000)),
                _ => (Some(Window::Read(4 + self.below(12))), 0),
            };
            let lives = if window.is_none() { us(lives) } else { us(3_600_000_000) };
            self.world.spawn(None, window, lives)?;
        }
        Ok(())
    }

    /// The next one who controls, with its death.
    fn controller(&mut self) -> (StandbyClass, Option<Window>) {
        let class = if self.below(5) == 0 { StandbyClass::Warm } else { StandbyClass::Hot };
        let takes_over = |it: &Member| it.window == Some(Window::TakeOver);
        let window = match self.below(100) {
            0..56 => Some(Window::Publish(1 + self.below(4))),
            56..64 if !self.world.members.iter().any(takes_over) => Some(Window::TakeOver),
            64..86 => Some(Window::Attach),
            86..91 => Some(Window::Follow(1 + self.below(4))),
            _ => None,
        };
        (class, window)
    }

    // ---- Looking --------------------------------------------------------------------------------

    /// Looks at everybody; whether anything was done.
    fn look_at_all(&mut self) -> Result<bool, Broken> {
        let mut done = false;
        let mut at = 0;
        while at < self.world.members.len() {
            let began = MonotonicClock::now();
            if self.look_at(at, began)? {
                done = true;
                self.stepped = self.stepped + MonotonicClock::now().since(began);
            } else {
                at += 1;
            }
        }
        let now = self.watch();
        if self.world.is_state_kept() {
            self.kept_at = now;
        } else if now.since(self.kept_at) > STUCK {
            return Err(self.world.not_kept());
        }
        if self.ownerless_since.is_some()
            && now.since(self.owned_at) > STUCK
            && let Some(member) = self.world.members.iter().find(|it| it.class.is_some())
        {
            return Err(self.world.stuck("nobody takes over", member));
        }
        Ok(done)
    }

    /// Looks at one; whether it is no more.
    fn look_at(&mut self, at: usize, now: Instant) -> Result<bool, Broken> {
        let member = &self.world.members[at];
        self.world.look_for_fault(member)?;
        let row = self.world.row(member);
        let (restored, first_commit) = (row.get(Field::Restored), row.get(Field::FirstCommitNs));
        let (is_new, window) = (!member.is_owner, member.window);
        if restored > 0 && is_new {
            self.report.takeovers += 1;
            let is_ahead = self.world.look_at_takeover(at)?;
            self.report.ahead += u64::from(is_ahead);
            // One that is not to be stepped dies at some instant.
            let lives = us(self.below(3_000));
            self.world.members[at].dies_at = now.saturating_add(lives);
        }
        if first_commit > 0 && !self.world.members[at].has_committed {
            self.world.members[at].has_committed = true;
            self.followed(at, Instant::from_nanos(first_commit));
        }
        let pid = self.world.members[at].pid;
        if window.is_some() && !self.world.members[at].is_at_mark {
            match look(pid)? {
                Look::AtMark => {
                    self.world.members[at].is_at_mark = true;
                }
                Look::Ended => return Err(self.ended(at)),
                Look::Runs => {}
            }
        }
        let member = &self.world.members[at];
        let ends_state = matches!(window, Some(Window::Publish(_) | Window::TakeOver));
        if member.is_at_mark {
            if ends_state && !self.world.is_state_kept() {
                return Ok(false);
            }
            return self.step_and_kill(at).map(|()| true);
        }
        let is_past_its_window = !matches!(window, None | Some(Window::Publish(_)))
            && member.is_owner
            && member.has_committed;
        let may_die = !member.is_owner || self.world.is_state_kept();
        if now >= member.dies_at && (window.is_none() || is_past_its_window) && may_die {
            let is_owner = member.is_owner;
            self.kill(at, if is_owner { "active" } else { "reader" }, is_owner)?;
            return Ok(true);
        }
        self.look_at_progress(at, now)?;
        Ok(false)
    }

    fn ended(&self, at: usize) -> Broken {
        let member = &self.world.members[at];
        Broken(format!("{:?} {:?} ended by itself", member.class, member.window))
    }

    fn look_at_progress(&mut self, at: usize, now: Instant) -> Result<(), Broken> {
        let member = &self.world.members[at];
        let row = self.world.row(member);
        let progress = row.get(Field::Beats) + row.get(Field::Attached) + row.get(Field::Refused);
        // Cycles go on without a daemon, and who has none finds the next one.
        let is_away = row.get(Field::Attached) > 0 && row.get(Field::HasDaemon) == 0;
        let same = member.progress.0 == progress;
        if is_away && now.since(self.daemon_since) > STUCK {
            return Err(self.world.stuck("it does not come back", member));
        }
        if same && now.since(member.progress.1) > STUCK {
            return Err(self.world.stuck("no progress", member));
        }
        if !same {
            self.world.members[at].progress = (progress, now);
        }
        Ok(())
    }

    /// A new owner has committed: that is what a takeover lasts until.
    fn followed(&mut self, at: usize, first_commit: Instant) {
        let Some(since) = self.ownerless_since.take() else { return };
        self.owned_at = self.watch();
        let member = &self.world.members[at];
        let is_cold = member.born_at > since;
        if let (Some(class), true) = (member.class, self.report.takeovers > 1) {
            let class = if is_cold { StandbyClass::Cold } else { class };
            self.report.recovery(class_name(class), first_commit.since(since).as_nanos());
        }
    }

    // ---- Deaths ---------------------------------------------------------------------------------

    fn kill(&mut self, at: usize, kind: &str, is_owner: bool) -> Result<(), Broken> {
        self.note_before_death(at);
        let (killed_at, _, committed) = self.world.kill(at)?;
        self.report.commits += committed;
        self.report.kill(kind);
        if is_owner {
            self.ownerless_since = Some(killed_at);
            self.owned_at = self.watch();
        }
        Ok(())
    }

    /// What it wrote down is wiped for the next one.
    fn note_before_death(&mut self, at: usize) {
        let row = self.world.row(&self.world.members[at]);
        self.report.images += row.get(Field::Checks);
        self.report.lapped += row.get(Field::Lapped);
    }

    /// One that stands at its mark is killed some instructions after it.
    fn step_and_kill(&mut self, at: usize) -> Result<(), Broken> {
        let member = &self.world.members[at];
        let (pid, class) = (member.pid, member.class);
        let Some(window) = member.window else { return Ok(()) };
        let name = window_name(window, class);
        let is_owner = matches!(window, Window::Publish(_) | Window::TakeOver);
        if self.orders.large && is_owner {
            // Most of its instructions copy: it runs, and is killed in the middle of that.
            let until = self.below(if window == Window::TakeOver { 400_000 } else { 40_000 });
            let began = MonotonicClock::now();
            ptrace::cont(pid, None)?;
            while MonotonicClock::now().since(began).as_nanos() < until {}
            let is_over = look(pid)? != Look::Runs;
            let how = if is_over { AT_ITS_END } else { "running" };
            return self.kill(at, &format!("{name}, {how}"), is_owner);
        }
        // Other code copies them, and more of it.
        let large = if self.orders.large { ", large images" } else { "" };
        let (place, stepped) = if window == Window::Attach {
            // From one system call to the next: there are many, and much is copied between them.
            let end = format!("{name}, {AT_ITS_END}");
            let calls = self.report.calls(name);
            // Where the end was never seen it may be far off.
            let beyond = if self.report.kills.contains_key(&end) { calls / 8 } else { calls };
            let call = self.below(calls + beyond + 4);
            if !run_to_call(pid, CONNECT, call)? {
                return self.kill(at, &end, is_owner);
            }
            let place = format!("{name}, after call {call}{large}");
            let count = self.offset_of_next(&place);
            (place, step_to_call(pid, count)?)
        } else {
            let place = format!("{name}{large}");
            let count = self.offset_of_next(&place);
            (place, step(pid, count)?)
        };
        let Stepped { offset, is_whole } = stepped;
        self.report.offsets.entry(place).or_default().count(offset, is_whole);
        // Becoming attached goes on behind the call that ends a step.
        let is_over = is_whole && window != Window::Attach;
        let kind = if is_over { format!("{name}, {AT_ITS_END}") } else { name.to_owned() };
        self.kill(at, &kind, is_owner)
    }

    /// Walks over all offsets of a window, one kill after the other, in a row that has no order.
    fn offset_of_next(&mut self, window: &str) -> u64 {
        let offsets = self.report.offsets.get(window);
        let Some((_, longest)) = offsets.and_then(|it| it.length) else { return u64::MAX };
        let walked = offsets.map_or(0, |it| it.total());
        (walked.wrapping_mul(STRIDE).wrapping_add(self.orders.seed)) % (longest + 1)
    }

    /// The daemon is killed: at some instant, or while it serves somebody who becomes attached.
    fn end_daemon(&mut self) -> Result<(), Broken> {
        let began = MonotonicClock::now();
        let daemon = self.world.daemon()?;
        if self.below(2) == 0 || !self.world.has_room() {
            self.world.kill_daemon()?;
            self.report.kill("daemon");
        } else {
            alarm::set(TURN_S);
            // One that has nothing to do any more is killed where it waits.
            let is_within = self.step_daemon(daemon).is_ok_and(|is_within| is_within);
            alarm::set(STUCK_S);
            self.stepped = self.stepped + MonotonicClock::now().since(began);
            self.world.kill_daemon()?;
            let place = if is_within { "in its turn at an attach" } else { "where it waits" };
            self.report.kill(&format!("daemon, {place}"));
        }
        if self.below(3) == 0
            && self.world.is_state_kept()
            && let Some(at) = self.world.members.iter().position(|it| it.is_owner)
        {
            self.kill(at, "active, without a daemon", true)?;
        }
        self.world.start_daemon()?;
        self.report.daemons += 1;
        self.report.taken_back += u64::from(self.world.members.iter().any(|it| it.is_owner));
        let now = MonotonicClock::now();
        self.daemon_since = now;
        let later = us(100_000 + self.below(900_000));
        self.daemon_dies_at = now.saturating_add(later);
        Ok(())
    }

    /// Whether it stands within its turn then.
    fn step_daemon(&mut self, daemon: Pid) -> Result<bool, Broken> {
        seize(daemon)?;
        self.world.spawn(Some(StandbyClass::Hot), None, us(3_600_000_000))?;
        let (calls, instructions) = (self.below(16), self.below(400));
        Ok(step_turn(daemon, calls, instructions)?)
    }

    /// With all participants dead the daemon has one segment of each region, and nothing else.
    fn census(&mut self) -> Result<(), Broken> {
        self.report.memories_max =
            self.report.memories_max.max(self.world.memories()?.len() as u64);
        while let Some(last) = self.world.members.len().checked_sub(1) {
            let is_owner = self.world.members[last].is_owner;
            self.kill(last, "all at once", is_owner)?;
        }
        let leaked = self.world.leaked()?;
        self.report.censuses += 1;
        self.report.leaked += leaked;
        self.ownerless_since = Some(MonotonicClock::now());
        self.owned_at = self.watch();
        self.census_at = self.report.total() + CENSUS_EVERY;
        if leaked > 0 {
            let left = self.world.memories()?;
            return Err(Broken(format!("{leaked} memories leaked: {left:?}")));
        }
        Ok(())
    }
}

fn folder(orders: &Orders) -> PathBuf {
    let base: &Path = &orders.folder;
    base.join(format!("lane-{}", orders.seed))
}
