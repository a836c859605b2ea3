//! LANs between machines: what one emulator sends to a LAN, all others on it get.
//!
//! Emulators connect to a Unix socket, one for each LAN, and exchange frames as QEMU does: the
//! length, four octets, most significant first, then the frame. A thread for each LAN copies. A
//! machine that does not read loses what does not fit its queue, as at a switch; it delays nobody.
//! Two emulators could be joined directly, but then one of them could not be switched off and on.

use std::io::{self, Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};

use nix::poll::{PollFd, PollFlags};
use rt_core::time::Duration;

use super::LabError;
use crate::os::{clock, wait};

/// Octets of a length.
const LENGTH: usize = 4;
/// The longest frame that an emulator sends.
const FRAME_OCTETS_MAX: usize = 4096 + 65_536;
/// What waits for one machine.
const QUEUE_OCTETS_MAX: usize = 1 << 20;
/// What is read from one machine before the next has its turn.
const READ_OCTETS: usize = 64 << 10;
/// Sockets of one LAN. One that a killed emulator had is free as soon as that is noticed.
const SOCKETS_MAX: usize = 16;
/// The longest wait; nothing depends on it.
const IDLE: Duration = Duration::from_secs(60);

/// A LAN. It ends with this value.
#[derive(Debug)]
pub(super) struct Hub {
    path: PathBuf,
    state: Arc<State>,
    /// Closed, it ends the thread.
    stop: Option<UnixStream>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct State {
    is_silent: AtomicBool,
    frames: AtomicU64,
    dropped: AtomicU64,
}

impl Hub {
    /// A LAN whose socket is `path`.
    pub(super) fn open(path: &Path) -> Result<Self, LabError> {
        let io = || LabError::io(format!("LAN {}", path.display()));
        let listener = UnixListener::bind(path).map_err(io())?;
        listener.set_nonblocking(true).map_err(io())?;
        let (stop, stopped) = UnixStream::pair().map_err(io())?;
        let state = Arc::new(State::default());
        let theirs = Arc::clone(&state);
        let thread = thread::spawn(move || serve(&listener, &stopped, &theirs));
        Ok(Self { path: path.to_owned(), state, stop: Some(stop), thread: Some(thread) })
    }

    /// Where emulators connect.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// From now on carries nothing, or everything again; no machine sees that on its card.
    pub(super) fn set_silent(&self, is_silent: bool) {
        self.state.is_silent.store(is_silent, Ordering::Relaxed);
    }

    /// Frames that it was given.
    pub(super) fn frames(&self) -> u64 {
        self.state.frames.load(Ordering::Relaxed)
    }

    /// Frames that a machine did not get, because it did not read.
    pub(super) fn dropped(&self) -> u64 {
        self.state.dropped.load(Ordering::Relaxed)
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic in it has been printed; there is nobody here to tell.
            let _ = thread.join();
        }
    }
}

/// A machine's socket.
#[derive(Debug)]
struct Socket {
    stream: UnixStream,
    input: Vec<u8>,
    output: Vec<u8>,
    is_open: bool,
}

impl Socket {
    fn new(stream: UnixStream) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        Ok(Self { stream, input: Vec::new(), output: Vec::new(), is_open: true })
    }

    fn read(&mut self) {
        let start = self.input.len();
        self.input.resize(start + READ_OCTETS, 0);
        let result = self.stream.read(&mut self.input[start..]);
        let octets = *result.as_ref().unwrap_or(&0);
        self.input.truncate(start + octets);
        self.is_open &= match result {
            Ok(octets) => octets > 0,
            Err(error) => is_passing(&error),
        };
    }

    /// Takes out the octets of all complete frames, lengths included.
    fn take_frames(&mut self) -> Vec<u8> {
        let mut end = 0;
        while let Some(octets) = frame_at(&self.input[end..]) {
            if octets > FRAME_OCTETS_MAX {
                // Not an emulator; what comes after cannot be understood.
                self.is_open = false;
                break;
            }
            if self.input.len() - end < LENGTH + octets {
                break;
            }
            end += LENGTH + octets;
        }
        self.input.drain(..end).collect()
    }

    /// Queues a frame; false when it does not fit.
    fn push(&mut self, frame: &[u8]) -> bool {
        let fits = self.output.len() + frame.len() <= QUEUE_OCTETS_MAX;
        if fits {
            self.output.extend_from_slice(frame);
        }
        fits
    }

    fn flush(&mut self) {
        while self.is_open && !self.output.is_empty() {
            match self.stream.write(&self.output) {
                Ok(octets) => drop(self.output.drain(..octets)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) => self.is_open = is_passing(&error),
            }
        }
    }

    fn interest(&self) -> PollFlags {
        let to_write = if self.output.is_empty() { PollFlags::empty() } else { PollFlags::POLLOUT };
        PollFlags::POLLIN | to_write
    }
}

fn is_passing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

/// The length of the frame that begins here, once it is known.
fn frame_at(octets: &[u8]) -> Option<usize> {
    let length = octets.first_chunk::<LENGTH>()?;
    Some(u32::from_be_bytes(*length) as usize)
}

fn serve(listener: &UnixListener, stopped: &UnixStream, state: &State) {
    let mut sockets: Vec<Socket> = Vec::new();
    loop {
        let mut waits = vec![
            PollFd::new(stopped.as_fd(), PollFlags::POLLIN),
            PollFd::new(listener.as_fd(), PollFlags::POLLIN),
        ];
        waits.extend(sockets.iter().map(|s| PollFd::new(s.stream.as_fd(), s.interest())));
        if wait::wait(&mut waits, clock::now() + IDLE).is_err() {
            return;
        }
        let ready: Vec<_> = waits.iter().map(|wait| wait.any().unwrap_or(false)).collect();
        if ready[0] {
            return;
        }
        for from in (0..sockets.len()).filter(|from| ready[from + 2]) {
            sockets[from].read();
            let frames = sockets[from].take_frames();
            copy(&frames, from, &mut sockets, state);
        }
        if ready[1]
            && let Ok((stream, _)) = listener.accept()
            && sockets.len() < SOCKETS_MAX
            && let Ok(socket) = Socket::new(stream)
        {
            sockets.push(socket);
        }
        sockets.iter_mut().for_each(Socket::flush);
        sockets.retain(|socket| socket.is_open);
    }
}

/// Gives frames that came from one socket to all others.
fn copy(mut frames: &[u8], from: usize, sockets: &mut [Socket], state: &State) {
    while let Some(octets) = frame_at(frames) {
        let (frame, rest) = frames.split_at(LENGTH + octets);
        frames = rest;
        state.frames.fetch_add(1, Ordering::Relaxed);
        if state.is_silent.load(Ordering::Relaxed) {
            continue;
        }
        for (_, to) in sockets.iter_mut().enumerate().filter(|(index, _)| *index != from) {
            if !to.push(frame) {
                state.dropped.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tools::netlab::Scratch;

    fn hub() -> (Scratch, Hub) {
        let scratch = Scratch::new().unwrap();
        let hub = Hub::open(&scratch.path().join("lan")).unwrap();
        (scratch, hub)
    }

    /// Connects one machine after the other, and knows that the hub has noticed each.
    fn machines<const N: usize>(hub: &Hub) -> [UnixStream; N] {
        let machines = [(); N].map(|()| UnixStream::connect(hub.path()).unwrap());
        for machine in &machines {
            machine.set_read_timeout(Some(std::time::Duration::from_secs(30))).unwrap();
        }
        // The last is accepted last, and then hears from the first.
        let mut octet = [0; 5];
        let mut heard = false;
        while !heard {
            (&machines[0]).write_all(&frame(&[0])).unwrap();
            let last = &machines[N - 1];
            last.set_nonblocking(true).unwrap();
            thread::sleep(std::time::Duration::from_millis(5));
            heard = (&mut &*last).read(&mut octet).is_ok_and(|octets| octets > 0);
            last.set_nonblocking(false).unwrap();
        }
        machines
    }

    fn frame(content: &[u8]) -> Vec<u8> {
        let length = u32::try_from(content.len()).unwrap();
        [&length.to_be_bytes()[..], content].concat()
    }

    /// The next frame that is not one of those by which machines know that they are connected.
    fn next(mut machine: &UnixStream) -> Vec<u8> {
        loop {
            let mut length = [0; LENGTH];
            machine.read_exact(&mut length).unwrap();
            let mut content = vec![0; u32::from_be_bytes(length) as usize];
            machine.read_exact(&mut content).unwrap();
            if content != [0] {
                return content;
            }
        }
    }

    #[test]
    fn a_frame_reaches_all_others_whole_however_it_was_cut() {
        let (_scratch, hub) = hub();
        let [a, b, c] = machines(&hub);
        let content: Vec<u8> = (0..9000_u32).map(|n| n.to_le_bytes()[0]).collect();
        for piece in frame(&content).chunks(1000) {
            (&b).write_all(piece).unwrap();
        }
        (&b).write_all(&[frame(b"x"), frame(b""), frame(b"y")].concat()).unwrap();
        for machine in [&a, &c] {
            assert_eq!(next(machine), content);
            assert_eq!(
                (next(machine), next(machine), next(machine)),
                (b"x".into(), b"".into(), b"y".into())
            );
        }
        // Not to who sent them.
        (&a).write_all(&frame(b"end")).unwrap();
        assert_eq!(next(&b), b"end");
    }

    #[test]
    fn who_does_not_read_delays_nobody() {
        let (_scratch, hub) = hub();
        let [a, b, _deaf] = machines(&hub);
        let rounds = 2 * QUEUE_OCTETS_MAX / 1500;
        for round in 0..rounds {
            let mut content = vec![1; 1500];
            content[..8].copy_from_slice(&(round as u64).to_be_bytes());
            (&a).write_all(&frame(&content)).unwrap();
            assert_eq!(next(&b), content);
        }
        assert!(hub.dropped() > 0 && hub.frames() >= rounds as u64);
    }

    #[test]
    fn a_silent_lan_carries_nothing_until_it_speaks_again() {
        let (_scratch, hub) = hub();
        let [a, b] = machines(&hub);
        let before = hub.frames();
        hub.set_silent(true);
        (&a).write_all(&frame(b"lost")).unwrap();
        while hub.frames() == before {
            thread::yield_now();
        }
        hub.set_silent(false);
        (&a).write_all(&frame(b"heard")).unwrap();
        assert_eq!(next(&b), b"heard");
    }

    #[test]
    fn nonsense_is_disconnected_and_the_others_go_on() {
        let (_scratch, hub) = hub();
        let [a, b, c] = machines(&hub);
        (&a).write_all(&[0xff; 8]).unwrap();
        let mut rest = Vec::new();
        // The end, orderly or not.
        let _ = (&a).read_to_end(&mut rest);
        (&b).write_all(&frame(b"still")).unwrap();
        assert_eq!(next(&c), b"still");
    }
}
