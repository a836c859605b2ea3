//! The control socket. Its clients are not trusted with the program's life: lines and answers are
//! bounded, nothing blocks, and whoever vanishes or does not read is let go.

use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use nix::poll::{PollFd, PollFlags};
use nix::sys::stat::{Mode, umask};

use super::command::{self, Command, LINE_OCTETS_MAX, Reply};

/// Clients at a time; a further one is closed at once.
const CLIENTS_MAX: usize = 16;

/// A listening control socket, removed at the end.
#[derive(Debug)]
pub struct Server {
    listener: UnixListener,
    path: PathBuf,
    clients: Vec<Client>,
}

#[derive(Debug)]
struct Client {
    stream: UnixStream,
    input: Vec<u8>,
    output: Vec<u8>,
    ending: bool,
}

impl Server {
    /// Listens at `path`, readable and writable for the owner alone. A socket file that nobody
    /// listens at any more is replaced.
    ///
    /// # Errors
    /// `EADDRINUSE` when somebody listens there, and what else the system says.
    pub fn open(path: &Path) -> io::Result<Self> {
        if UnixStream::connect(path).is_ok() {
            return Err(ErrorKind::AddrInUse.into());
        }
        let before = umask(Mode::from_bits_truncate(0o177));
        let bound = UnixListener::bind(path).or_else(|error| {
            use std::os::unix::fs::FileTypeExt;
            let stale = std::fs::symlink_metadata(path)
                .is_ok_and(|metadata| metadata.file_type().is_socket());
            if !stale {
                return Err(error);
            }
            std::fs::remove_file(path)?;
            UnixListener::bind(path)
        });
        umask(before);
        let listener = bound?;
        listener.set_nonblocking(true)?;
        Ok(Self { listener, path: path.to_owned(), clients: Vec::new() })
    }

    /// What to wait for.
    pub fn descriptors(&self) -> impl Iterator<Item = PollFd<'_>> {
        let listener = PollFd::new(self.listener.as_fd(), PollFlags::POLLIN);
        std::iter::once(listener).chain(self.clients.iter().map(|client| {
            // Whoever does not take his answers is not read either.
            let wanted =
                if client.output.is_empty() { PollFlags::POLLIN } else { PollFlags::POLLOUT };
            PollFd::new(client.stream.as_fd(), wanted)
        }))
    }

    /// Takes new clients, carries out what complete lines ask for and answers. Bounded: a client
    /// gets one read of [`LINE_OCTETS_MAX`] octets per call.
    pub fn serve(&mut self, mut carry_out: impl FnMut(Command) -> Reply) {
        while let Ok((stream, _)) = self.listener.accept() {
            if self.clients.len() < CLIENTS_MAX && stream.set_nonblocking(true).is_ok() {
                let (input, output) = (Vec::new(), Vec::new());
                self.clients.push(Client { stream, input, output, ending: false });
            }
        }
        self.clients.retain_mut(|client| client.serve(&mut carry_out));
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

impl Client {
    /// Whether the client stays.
    fn serve(&mut self, carry_out: &mut impl FnMut(Command) -> Reply) -> bool {
        if self.output.is_empty() && !self.ending {
            let mut buffer = [0u8; LINE_OCTETS_MAX];
            match self.stream.read(&mut buffer) {
                Ok(0) => return false,
                Ok(octets) => self.input.extend_from_slice(&buffer[..octets]),
                Err(error) if again(&error) => {}
                Err(_) => return false,
            }
            self.lines(carry_out);
        }
        match self.stream.write(&self.output) {
            Ok(octets) => {
                self.output.drain(..octets);
            }
            Err(error) if again(&error) => {}
            Err(_) => return false,
        }
        !(self.ending && self.output.is_empty())
    }

    fn lines(&mut self, carry_out: &mut impl FnMut(Command) -> Reply) {
        let mut from = 0;
        while let Some(octets) = self.input[from..].iter().position(|&octet| octet == b'\n') {
            let line = &self.input[from..from + octets];
            from += octets + 1;
            if line.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            let reply = if octets > LINE_OCTETS_MAX {
                Reply::refused("line too long")
            } else {
                command::read(line).map_or_else(|refusal| refusal, &mut *carry_out)
            };
            self.output.extend_from_slice(reply.line().as_bytes());
        }
        self.input.drain(..from);
        if self.input.len() > LINE_OCTETS_MAX {
            let reply = Reply::refused(format!("line longer than {LINE_OCTETS_MAX} octets"));
            self.output.extend_from_slice(reply.line().as_bytes());
            self.input.clear();
            self.ending = true;
        }
    }
}

fn again(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}
