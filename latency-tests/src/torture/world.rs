//! A world: a daemon, the actors that use its regions, and what is known of them.
//!
//! It starts them, kills them, and keeps the account that a takeover is held against.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rt_core::os::clock::{MonotonicClock, sleep_until};
use rt_core::time::{Duration, Instant};
use shm_replica::attach::StandbyClass;
use tools::os::parent::end_with_parent;

use super::actor::{APPLICATION, Part, REGIONS, Sizes, Window, play};
use super::board::{Board, Field, ROWS, Row};
use super::census::{memories, post_mortem};
use super::step::bury;
use crate::os::process::forked;
use tools::os::store::DescriptorStore;

/// How long anything may take before it counts as stuck: a thousand times what it takes.
pub const STUCK: Duration = Duration::from_secs(10);

/// A rule that was broken.
#[derive(Debug)]
pub struct Broken(pub String);

impl From<io::Error> for Broken {
    fn from(error: io::Error) -> Self {
        Self(format!("the harness itself failed: {error}"))
    }
}

impl From<nix::Error> for Broken {
    fn from(error: nix::Error) -> Self {
        io::Error::from(error).into()
    }
}

/// An actor that lives.
#[derive(Debug)]
pub struct Member {
    /// Its process.
    pub pid: Pid,
    /// Its row on the board.
    pub row: usize,
    /// None: it only reads.
    pub class: Option<StandbyClass>,
    /// Where it is to be stepped.
    pub window: Option<Window>,
    /// When it was started.
    pub born_at: Instant,
    /// When it is to be killed, if it was not stepped before.
    pub dies_at: Instant,
    /// Whether it was seen to be the owner, and what it restored was looked at.
    pub is_owner: bool,
    /// Whether its first commit was seen.
    pub has_committed: bool,
    /// Whether it stands at its mark.
    pub is_at_mark: bool,
    /// Its progress when it was looked at last, and when that had changed last.
    pub progress: (u64, Instant),
}

/// What must not be lost, of cuts and of the separate region: the last cycle whose commit returned,
/// and the last that was begun, by anybody who is dead.
#[derive(Clone, Copy, Default, Debug)]
pub struct Account {
    cut: (u64, u64),
    alone: (u64, u64),
    epoch: u64,
}

/// See the module's text.
#[derive(Debug)]
pub struct World {
    folder: PathBuf,
    program: PathBuf,
    seed: u64,
    sizes: Sizes,
    board: Board,
    daemon: Option<Child>,
    /// What keeps the segments while there is no daemon.
    store: DescriptorStore,
    /// Those who live, in the order of their birth.
    pub members: Vec<Member>,
    account: Account,
}

const CONFIG: &str = "bumpless.toml";

impl World {
    /// A world with a daemon, in a new folder.
    ///
    /// # Errors
    /// The system's.
    pub fn start(folder: &Path, program: &Path, seed: u64, sizes: Sizes) -> io::Result<Self> {
        match fs::remove_dir_all(folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => fs::create_dir_all(folder)?,
        }
        let mut config = format!("name = 'torture'\n[[application]]\nname = '{APPLICATION}'\n");
        for region in REGIONS {
            config += &format!("[[region]]\nname = '{region}'\napplication = '{APPLICATION}'\n");
        }
        fs::write(folder.join(CONFIG), config)?;
        let mut world = Self {
            folder: folder.to_owned(),
            program: program.to_owned(),
            seed,
            sizes,
            board: Board::new()?,
            daemon: None,
            store: DescriptorStore::bind(&folder.join("notify"))?,
            members: Vec::new(),
            account: Account::default(),
        };
        world.start_daemon()?;
        Ok(world)
    }

    /// Starts the daemon.
    ///
    /// # Errors
    /// The system's.
    pub fn start_daemon(&mut self) -> io::Result<()> {
        let log = File::options().create(true).append(true).open(self.folder.join("log"))?;
        self.store.hear()?;
        let mut command = self.store.command(&self.program);
        command.arg("--config").arg(self.folder.join(CONFIG));
        command.arg("--runtime-dir").arg(self.folder.join("run")).arg("--allow-non-rt");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        end_with_parent(&mut command);
        self.daemon = Some(command.spawn()?);
        Ok(())
    }

    /// The daemon's process.
    ///
    /// # Errors
    /// There is none.
    pub fn daemon(&self) -> io::Result<Pid> {
        let child = self.daemon.as_ref().ok_or_else(|| io::Error::other("no daemon"))?;
        Ok(Pid::from_raw(i32::try_from(child.id()).unwrap_or(0)))
    }

    /// Kills the daemon.
    ///
    /// # Errors
    /// There is none.
    pub fn kill_daemon(&mut self) -> io::Result<()> {
        let pid = self.daemon()?;
        kill(pid, Signal::SIGKILL)?;
        bury(pid)?;
        self.daemon = None;
        Ok(())
    }

    /// Hears what the daemon has kept.
    ///
    /// # Errors
    /// The daemon ended by itself.
    pub fn look_at_daemon(&mut self) -> Result<(), Broken> {
        self.store.hear()?;
        let Some(child) = &mut self.daemon else { return Ok(()) };
        match child.try_wait()? {
            None => Ok(()),
            Some(status) => {
                let log = fs::read_to_string(self.folder.join("log")).unwrap_or_default();
                let last: Vec<_> = log.lines().rev().take(5).collect();
                self.daemon = None;
                Err(Broken(format!("the daemon ended by itself, {status}: {last:?}")))
            }
        }
    }

    /// Whether the state of whoever became the owner last is kept. Until it is, a state that dies
    /// with its owner dies with the daemon too, and both are killed here.
    #[must_use]
    pub fn is_state_kept(&self) -> bool {
        let newest = self.epochs_kept().max().unwrap_or(0);
        let owners = self.members.iter().filter(|it| it.is_owner);
        let owned = owners.map(|it| self.row(it).get(Field::Epoch)).max();
        let needed = owned.unwrap_or(self.account.epoch);
        newest >= needed && self.epochs_kept().filter(|it| *it == newest).count() == REGIONS.len()
    }

    /// What to say where it is not kept in the end.
    #[must_use]
    pub fn not_kept(&self) -> Broken {
        let names: Vec<_> = self.store.names().collect();
        let last = self.last_lines(8);
        let daemon = self.daemon().map(post_mortem).unwrap_or_default();
        let account = self.account;
        Broken(format!("the store has {names:?}; {account:?}; {daemon} it said: {last}"))
    }

    /// What the daemon said last, the newest first.
    fn last_lines(&self, count: usize) -> String {
        let log = fs::read_to_string(self.folder.join("log")).unwrap_or_default();
        let lines = log.lines().rev().take(count);
        let told = |line: &str| line.split_once(": ").map_or(line, |(_, told)| told).to_owned();
        lines.map(told).collect::<Vec<_>>().join(" < ")
    }

    fn epochs_kept(&self) -> impl Iterator<Item = u64> {
        self.store.names().filter_map(|name| name.rsplit_once('-')?.1.parse().ok())
    }

    /// Whether one more actor may be started.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.members.len() < ROWS
    }

    /// Starts an actor.
    ///
    /// # Errors
    /// The system's, or there are too many.
    pub fn spawn(
        &mut self,
        class: Option<StandbyClass>,
        window: Option<Window>,
        lives: Duration,
    ) -> io::Result<()> {
        let is_free = |row: &usize| self.members.iter().all(|it| it.row != *row);
        let row = (0..ROWS).find(is_free).ok_or_else(|| io::Error::other("too many actors"))?;
        let part = Part {
            socket: self.folder.join("run/regions.sock"),
            seed: self.seed,
            sizes: self.sizes,
            class,
            window,
        };
        let board = self.board.row(row);
        board.wipe();
        let pid = forked(|| play(&part, board))?;
        let now = MonotonicClock::now();
        self.members.push(Member {
            pid,
            row,
            class,
            window,
            born_at: now,
            dies_at: now.saturating_add(lives),
            is_owner: false,
            has_committed: false,
            is_at_mark: false,
            progress: (0, now),
        });
        Ok(())
    }

    /// An actor's row.
    #[must_use]
    pub fn row(&self, member: &Member) -> Row<'_> {
        self.board.row(member.row)
    }

    /// Kills an actor; when, what it was, and how many cycles it had committed. What it wrote down
    /// is part of the account then.
    ///
    /// # Errors
    /// The system's.
    pub fn kill(&mut self, at: usize) -> Result<(Instant, Member, u64), Broken> {
        let member = self.members.remove(at);
        let killed_at = MonotonicClock::now();
        kill(member.pid, Signal::SIGKILL)?;
        bury(member.pid)?;
        self.look_for_fault(&member)?;
        let row = self.board.row(member.row);
        let before = self.account.cut.0;
        let Account { cut, alone, epoch } = &mut self.account;
        *cut = (cut.0.max(row.get(Field::CutReturned)), cut.1.max(row.get(Field::CutBegun)));
        *alone =
            (alone.0.max(row.get(Field::AloneReturned)), alone.1.max(row.get(Field::AloneBegun)));
        if row.get(Field::Restored) > 0 {
            *epoch = (*epoch).max(row.get(Field::Epoch));
        }
        let committed = self.account.cut.0.saturating_sub(before);
        Ok((killed_at, member, committed))
    }

    /// A new owner goes on from the last cycle whose commit returned, or from one that was begun
    /// after that and is complete; its epoch is new. Whether it was the latter.
    ///
    /// # Errors
    /// It is not so.
    pub fn look_at_takeover(&mut self, at: usize) -> Result<bool, Broken> {
        self.members[at].is_owner = true;
        let member = &self.members[at];
        let row = self.board.row(member.row);
        let restored = row.get(Field::Restored) - 1;
        let alone = row.get(Field::RestoredAlone) - 1;
        let epoch = row.get(Field::Epoch);
        let account = self.account;
        let within = |(returned, begun): (u64, u64), it| (returned..=begun).contains(&it);
        if !within(account.cut, restored) || !within(account.alone, alone) {
            return Err(Broken(format!(
                "a takeover under epoch {epoch} goes on from cycle {restored} and {alone} of the \
                 separate region; what had returned and was begun: {account:?}; {:?} {:?}; {}",
                member.class,
                member.window,
                self.last_lines(40)
            )));
        }
        if epoch <= account.epoch {
            return Err(Broken(format!("epoch {epoch} is used a second time: {account:?}")));
        }
        let is_ahead = restored > account.cut.0;
        // What a new owner has begun with is not given up again.
        self.account.cut.0 = restored;
        self.account.alone.0 = alone;
        self.account.epoch = epoch;
        Ok(is_ahead)
    }

    /// Whether an actor found a rule broken.
    ///
    /// # Errors
    /// It did.
    pub fn look_for_fault(&self, member: &Member) -> Result<(), Broken> {
        match self.row(member).broken() {
            None => Ok(()),
            Some((fault, numbers)) => {
                let account = self.account;
                Err(Broken(format!(
                    "fault {fault} found by {:?} {:?}: {numbers:?}; {account:?}",
                    member.class, member.window
                )))
            }
        }
    }

    /// What to say of one that does not get on.
    #[must_use]
    pub fn stuck(&self, what: &str, member: &Member) -> Broken {
        let row = self.row(member);
        let fields = [
            ("beats", Field::Beats),
            ("attached", Field::Attached),
            ("refused", Field::Refused),
            ("role", Field::Role),
            ("epoch", Field::Epoch),
            ("returned", Field::CutReturned),
            ("restored", Field::Restored),
            ("daemon", Field::HasDaemon),
        ];
        let words = fields.map(|(name, field)| format!("{name} {}", row.get(field)));
        let daemon = self.daemon().map(post_mortem).unwrap_or_default();
        Broken(format!(
            "stuck, {what}: {:?} {:?}: {}; {} daemon: {daemon}; account {:?}",
            member.class,
            member.window,
            words.join(", "),
            post_mortem(member.pid),
            self.account
        ))
    }

    /// All memories of regions that any process of this world has.
    ///
    /// # Errors
    /// There is no daemon.
    pub fn memories(&self) -> io::Result<Vec<String>> {
        let mut processes: Vec<_> = self.members.iter().map(|it| it.pid).collect();
        processes.push(self.daemon()?);
        Ok(memories(&processes).into_iter().map(|(region, _)| region).collect())
    }

    /// The daemon gives back all memory but what it keeps of each region, once nobody uses it: the
    /// segment in force and, if that has no commit, the one before it. How much it has too much
    /// after a time.
    ///
    /// # Errors
    /// There is no daemon.
    pub fn leaked(&mut self) -> io::Result<u64> {
        let until = MonotonicClock::now().saturating_add(STUCK);
        loop {
            let mut left = self.memories()?;
            for region in REGIONS.into_iter().chain(REGIONS) {
                if let Some(at) = left.iter().position(|it| it == region) {
                    left.swap_remove(at);
                }
            }
            self.store.hear()?;
            // As many are kept for another life.
            let kept = self.store.names().count();
            if kept > 2 * REGIONS.len() {
                left.push(format!("{kept} in the store"));
            }
            if left.is_empty() || MonotonicClock::now() >= until {
                return Ok(left.len() as u64);
            }
            sleep_until(MonotonicClock::now().saturating_add(Duration::from_millis(1)));
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        for member in &self.members {
            let _gone = kill(member.pid, Signal::SIGKILL);
            let _gone = bury(member.pid);
        }
        if self.daemon.is_some() {
            let _gone = self.kill_daemon();
        }
        let _left = fs::remove_dir_all(&self.folder);
    }
}
