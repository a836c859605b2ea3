//! Those who attack: this program again, as another user, until it is ended.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, socket};
use rt_core::os::clock::{self, MonotonicClock};
use rt_core::time::Duration;
use shm_replica::attach::{MESSAGE_OCTETS_MAX, Registration, Request};
use shm_replica::os::connection::Connection;
use shm_replica::segment::{Layout, RegionName};

use super::beside::send_beside;

/// Says to this program that it is to attack, and how; and where.
const ATTACK: &str = "BUMPLESS_TEST_ATTACK";
const FOLDER: &str = "BUMPLESS_TEST_ATTACK_FOLDER";
/// Longer than the test: an attacker whose test was killed ends by itself.
const LIFE: Duration = Duration::from_secs(120);
/// Rounds that are told of; the others are done as well.
pub(super) const ROUNDS_TOLD: usize = 2;
/// Connections that one attacker keeps.
const HELD_MAX: usize = 300;
/// Descriptors that the kernel lets come beside one message, and less.
const DESCRIPTORS: [usize; 5] = [0, 1, 2, 17, 253];

pub(super) type Attack = fn(&mut Attacker);
/// Each of them, and whether it is one on the operator's socket that takes all its places.
pub(super) const ATTACKS: [(&str, Attack, bool); 6] = [
    ("silent", Attacker::says_nothing, true),
    ("garbage", Attacker::sends_garbage, false),
    ("flipped", Attacker::sends_what_is_nearly_right, false),
    ("deaf", Attacker::never_reads, false),
    ("storm", Attacker::comes_and_goes, false),
    ("control", Attacker::misuses_the_operators_socket, true),
];

/// The command that makes `program` attack the daemon in `folder`.
pub(super) fn command(program: &Path, attack: &str, folder: &Path) -> Command {
    let mut command = Command::new(program);
    command.args(["--exact", "flood::attackers::be_one", "--nocapture"]);
    command.env(ATTACK, attack).env(FOLDER, folder);
    command
}

/// No test, unless this program was started to attack: then it does so until it is ended.
#[test]
fn be_one() {
    let (Some(name), Some(folder)) = (std::env::var_os(ATTACK), std::env::var_os(FOLDER)) else {
        return;
    };
    let (_, attack, _) = ATTACKS.iter().find(|(known, ..)| name == *known).unwrap();
    let mut attacker = Attacker::new(folder.into());
    let end = MonotonicClock::now() + LIFE;
    let mut round = 0;
    while MonotonicClock::now() < end {
        attack(&mut attacker);
        round += 1;
        if round <= ROUNDS_TOLD {
            println!("\nround {round}");
        }
    }
}

pub(super) struct Attacker {
    folder: PathBuf,
    /// Connections that stay open to the next round.
    held: Vec<Connection>,
    held_streams: Vec<UnixStream>,
    /// Octets without a sense.
    noise: Vec<u8>,
    file: File,
}

impl Attacker {
    fn new(folder: PathBuf) -> Self {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let noise = (0..2 * MESSAGE_OCTETS_MAX + 2).map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()[3]
        });
        let file = File::open("/proc/self/comm").unwrap();
        let (held, held_streams) = (Vec::new(), Vec::new());
        Self { folder, held, held_streams, noise: noise.collect(), file }
    }

    /// Connects; the daemon may have too many of us at the moment.
    fn connected(&self) -> Option<Connection> {
        let path = self.folder.join("regions.sock");
        (0..1_000).find_map(|_| {
            Connection::open(&path).ok().or_else(|| {
                pause();
                None
            })
        })
    }

    /// Connects and says who it is, as one of the application; the answer is left to be read.
    fn welcomed(&self) -> Option<Connection> {
        let connection = self.connected()?;
        let hello = encoded(&Request::Hello { application: name("plc"), library: "x" });
        connection.send(&hello, None).ok().map(|()| connection)
    }

    /// Sends by a connection that may have been hung up on, or is full of answers.
    fn deliver(&self, connection: &mut Option<Connection>, octets: &[u8]) {
        for _ in 0..100 {
            let Some(there) = connection else {
                *connection = self.welcomed();
                continue;
            };
            match there.send(octets, None) {
                Ok(()) => return,
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => read_all(there),
                Err(_) => *connection = None,
            }
        }
    }

    /// Takes all places there are, and takes them again where it was hung up on.
    fn says_nothing(&mut self) {
        self.held.retain(|it| !matches!(it.receive(&mut [0; 8]), Ok(None)));
        self.held_streams.retain_mut(|it| !matches!(it.read(&mut [0; 256]), Ok(0)));
        for _ in self.held.len()..HELD_MAX {
            self.held.extend(self.connected());
        }
        for _ in self.held_streams.len()..HELD_MAX {
            let stream = operators(&self.folder);
            self.held_streams.extend(stream.map(|it| with(it, b"{\"request\":\"sta")));
        }
    }

    /// Each length that a short message has, samples of the long ones, each one about the limit;
    /// with nothing of ours in it, and with the beginning of a message.
    fn sends_garbage(&mut self) {
        let limit = MESSAGE_OCTETS_MAX;
        let long = (1_024..limit - 16).step_by(1_021);
        let lengths = (0..1_024).chain(long).chain(limit - 16..=limit + 1);
        let mut connection = None;
        for length in lengths {
            let mut octets = self.noise[length..2 * length].to_vec();
            self.deliver(&mut connection, &octets);
            let head = length.min(8);
            octets[..head].copy_from_slice(&b"BMPR?\0\x01\0"[..head]);
            self.deliver(&mut connection, &octets);
        }
    }

    fn sends_what_is_nearly_right(&mut self) {
        let mut connection = None;
        for request in requests() {
            let octets = encoded(&request);
            for bit in 0..octets.len() * 8 {
                let mut flipped = octets.clone();
                flipped[bit / 8] ^= 1 << (bit % 8);
                self.deliver(&mut connection, &flipped);
                self.deliver(&mut connection, &octets);
            }
        }
    }

    /// Has all sent to it that there is, with descriptors beside what it asks, and reads nothing.
    fn never_reads(&mut self) {
        self.held.truncate(HELD_MAX / 20);
        for (turn, request) in requests().into_iter().cycle().take(60).enumerate() {
            let Some(connection) = self.welcomed() else { continue };
            let count = DESCRIPTORS[turn % DESCRIPTORS.len()];
            let octets = encoded(&request);
            for _ in 0..100 {
                let descriptors = vec![self.file.as_raw_fd(); count];
                let sent = match send_beside(&connection, &octets, &descriptors) {
                    // Whoever may write nothing may not send them, either.
                    Err(Errno::EPERM) => send_beside(&connection, &octets, &[]),
                    sent => sent,
                };
                if !matches!(sent, Ok(()) | Err(Errno::EAGAIN | Errno::ETOOMANYREFS)) {
                    break;
                }
            }
            self.held.insert(0, connection);
        }
    }

    fn comes_and_goes(&mut self) {
        for turn in 0..500 {
            let came = if turn % 2 == 0 { self.connected() } else { self.welcomed() };
            let stream = operators(&self.folder);
            drop((came, stream));
        }
    }

    fn misuses_the_operators_socket(&mut self) {
        self.held_streams.clear();
        let line = vec![b'x'; 1024 * 1024];
        for _ in 0..20 {
            for said in [
                &line[..],
                b"{\"request\":\"events\",\"follow\":true}\n",
                b"{\"request\":\"events\"}\n",
                b"{\"request\":\"switchover\"}\n",
                b"{\"request\"",
            ] {
                self.held_streams.extend(operators(&self.folder).map(|it| with(it, said)));
            }
            pause();
        }
    }
}

fn name(text: &str) -> RegionName {
    RegionName::new(text).unwrap()
}

fn encoded(request: &Request<'_>) -> Vec<u8> {
    let mut into = vec![0; MESSAGE_OCTETS_MAX];
    request.encode(&mut into).unwrap().to_vec()
}

fn requests() -> [Request<'static>; 6] {
    let plant = name("plant");
    let registration = Registration::new(plant, Layout::new(16, 4, 0).unwrap(), &[]);
    [
        Request::Attach { region: plant, schema: &[] },
        Request::Wake { region: plant, wanted: true },
        Request::Register(Registration { held_epoch: 1, ..registration }),
        Request::Ready,
        Request::Leave { region: plant },
        Request::Hello { application: name("other"), library: "x" },
    ]
}

fn pause() {
    clock::sleep_until(MonotonicClock::now() + Duration::from_micros(200));
}

fn read_all(connection: &Connection) {
    let mut buffer = vec![0; MESSAGE_OCTETS_MAX];
    for _ in 0..1_000 {
        match connection.receive(&mut buffer) {
            Ok(Some(_)) => {}
            Ok(None) => return,
            Err(_) => break,
        }
    }
    pause();
}

/// A connection to the operator's socket that never waits.
fn operators(folder: &Path) -> Option<UnixStream> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket = socket(AddressFamily::Unix, SockType::Stream, flags, None).unwrap();
    let address = UnixAddr::new(&folder.join("control.sock")).unwrap();
    connect(socket.as_raw_fd(), &address).ok().map(|()| UnixStream::from(socket))
}

/// What of it there is room for.
fn with(mut stream: UnixStream, said: &[u8]) -> UnixStream {
    let _ = stream.write(said);
    stream
}
