//! The socket between a participant and the daemon: whole messages, a descriptor beside them, and
//! who is at the other end.
//!
//! The kernel keeps the bounds of messages, says who connected, and ends the connection when the
//! process ends. What is received is hostile: a message longer than any of ours is refused whole,
//! and of descriptors at most one is taken and the others are closed. Who closes one as the last
//! may have to wait: for what a connection that lingers still has to send. So none may come before
//! the other end is trusted with it, and none that comes lingers.

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::path::Path;

use nix::errno::Errno;
use nix::sys::socket::sockopt::{Linger, PeerCredentials};
use nix::sys::socket::{
    AddressFamily, Backlog, ControlMessage, MsgFlags, SockFlag, SockType, UnixAddr, accept4, bind,
    connect, getsockopt, listen, recvmsg, sendmsg, setsockopt, socket, socketpair,
};

use super::process;
use super::schedule::point;

/// Connections that wait to be accepted.
const BACKLOG: i32 = 16;
/// Descriptors that fit the buffer for them: as many as the kernel lets come beside a message. Of a
/// buffer that is too small, nobody would tell us the descriptors that did fit, and nobody close
/// them.
const DESCRIPTORS: usize = 253;

/// Whether descriptors may come beside messages; a kernel older than 6.16 does not know it.
const SO_PASSRIGHTS: i32 = 83;

/// Groups of a process that are asked for; whoever is in more of them is known by its user.
const GROUPS_MAX: usize = 1_024;

/// Who is at the other end, as of when it connected.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Peer {
    /// The process.
    pub pid: i32,
    /// Its user.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
    /// Its further groups; none where the kernel does not say, or where they are more than fit.
    pub groups: Vec<u32>,
}

/// Waits for connections.
#[derive(Debug)]
pub struct Listener(OwnedFd);

/// A connection. Never waits: an operation that would says [`io::ErrorKind::WouldBlock`].
#[derive(Debug)]
pub struct Connection(OwnedFd);

/// A message that came.
#[derive(Debug)]
pub struct Received<'b> {
    /// Its octets.
    pub octets: &'b [u8],
    /// What came beside it.
    pub file: Option<OwnedFd>,
}

impl Listener {
    /// Listens at `path`, where nothing may be. Who may connect is said by the rights of the file.
    /// Where the kernel can keep them away, no descriptors come by the connections before
    /// [`Connection::let_descriptors_come`].
    ///
    /// # Errors
    /// Something is there, or the kernel refuses.
    pub fn bind(path: &Path) -> io::Result<Self> {
        let socket = new_socket()?;
        pass_descriptors(&socket, false);
        bind(socket.as_raw_fd(), &UnixAddr::new(path)?)?;
        listen(&socket, Backlog::new(BACKLOG)?)?;
        Ok(Self(socket))
    }

    /// Takes a listener that somebody else made.
    #[must_use]
    pub fn from_descriptor(socket: OwnedFd) -> Self {
        pass_descriptors(&socket, false);
        Self(socket)
    }

    /// Accepts who waits.
    ///
    /// # Errors
    /// Nobody waits ([`io::ErrorKind::WouldBlock`]), or the process is out of descriptors.
    pub fn accept(&self) -> io::Result<Connection> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let accepted = accept4(self.0.as_raw_fd(), flags)?;
        // SAFETY: the kernel has just made the descriptor for us.
        Ok(Connection(unsafe { OwnedFd::from_raw_fd(accepted) }))
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Connection {
    /// Connects to a listener.
    ///
    /// # Errors
    /// Nobody listens there, too many wait, or it is not permitted.
    pub fn open(path: &Path) -> io::Result<Self> {
        let socket = new_socket()?;
        connect(socket.as_raw_fd(), &UnixAddr::new(path)?)?;
        Ok(Self(socket))
    }

    /// Both ends of a new connection.
    ///
    /// # Errors
    /// The process is out of descriptors.
    pub fn pair() -> io::Result<(Self, Self)> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let (one, other) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags)?;
        Ok((Self(one), Self(other)))
    }

    /// Who is at the other end.
    ///
    /// # Errors
    /// The kernel does not say.
    pub fn peer(&self) -> io::Result<Peer> {
        let found = getsockopt(&self.0, PeerCredentials)?;
        let groups = peer_groups(&self.0);
        Ok(Peer { pid: found.pid(), uid: found.uid(), gid: found.gid(), groups })
    }

    /// A descriptor that becomes readable when the process at the other end has ended; it stands
    /// for that process, and for no other that gets its number later.
    ///
    /// # Errors
    /// The process has ended already, or the kernel is older than 5.3.
    pub fn peer_process(&self) -> io::Result<OwnedFd> {
        let process = process::open(getsockopt(&self.0, PeerCredentials)?.pid())?;
        // The number was the peer's when it connected. If it is somebody else's by now, the peer
        // has ended, and with it its end of the connection.
        if self.has_hung_up() { Err(Errno::ESRCH.into()) } else { Ok(process) }
    }

    fn has_hung_up(&self) -> bool {
        let flags = MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT;
        let mut octet = [0; 1];
        nix::sys::socket::recv(self.0.as_raw_fd(), &mut octet, flags) == Ok(0)
    }

    /// From now on descriptors may come beside messages.
    pub fn let_descriptors_come(&self) {
        pass_descriptors(&self.0, true);
    }

    /// Sends a message, with a descriptor beside it if one is given and the other end lets one
    /// come.
    ///
    /// # Errors
    /// The other end has hung up, or does not read ([`io::ErrorKind::WouldBlock`]).
    pub fn send(&self, message: &[u8], file: Option<BorrowedFd<'_>>) -> io::Result<()> {
        point();
        let file = file.map(|file| [file.as_raw_fd()]);
        let beside: Vec<ControlMessage<'_>> =
            file.iter().map(|file| ControlMessage::ScmRights(file)).collect();
        let flags = MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT;
        let pieces = [IoSlice::new(message)];
        let send = |beside: &[ControlMessage<'_>]| {
            sendmsg::<UnixAddr>(self.0.as_raw_fd(), &pieces, beside, flags, None)
        };
        let sent = match send(&beside) {
            Err(Errno::EPERM) if !beside.is_empty() => send(&[])?,
            sent => sent?,
        };
        if sent == message.len() { Ok(()) } else { Err(Errno::EMSGSIZE.into()) }
    }

    /// Receives a message into `buffer`; none when the other end has hung up.
    ///
    /// # Errors
    /// Nothing is there ([`io::ErrorKind::WouldBlock`]), or what came is longer than the buffer or
    /// has more than one descriptor beside it ([`io::ErrorKind::InvalidData`]); it is gone then.
    pub fn receive<'b>(&self, buffer: &'b mut [u8]) -> io::Result<Option<Received<'b>>> {
        point();
        let mut beside = nix::cmsg_space!([RawFd; DESCRIPTORS]);
        let mut pieces = [IoSliceMut::new(buffer)];
        let flags = MsgFlags::MSG_CMSG_CLOEXEC | MsgFlags::MSG_DONTWAIT;
        let socket = self.0.as_raw_fd();
        let came = recvmsg::<UnixAddr>(socket, &mut pieces, Some(&mut beside), flags)?;
        let (octets, flags) = (came.bytes, came.flags);
        let mut files = owned(&beside);
        for file in &files {
            // Most are no sockets, and cannot.
            let _ = setsockopt(file, Linger, &libc::linger { l_onoff: 0, l_linger: 0 });
        }
        if flags.intersects(MsgFlags::MSG_TRUNC | MsgFlags::MSG_CTRUNC) || files.len() > 1 {
            let why = "a message that is too long, or with too many descriptors";
            return Err(io::Error::new(io::ErrorKind::InvalidData, why));
        }
        // A message of nothing is none of ours, and looks as a connection does that has ended.
        Ok((octets > 0).then(|| Received { octets: &buffer[..octets], file: files.pop() }))
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

fn pass_descriptors(socket: &OwnedFd, pass: bool) {
    let pass = i32::from(pass);
    let octets = libc::socklen_t::try_from(size_of_val(&pass)).unwrap_or(0);
    // SAFETY: the value has as many octets as is said, and lives to the end of the call.
    unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            SO_PASSRIGHTS,
            (&raw const pass).cast(),
            octets,
        );
    }
}

/// The descriptors in a buffer that was zeros before a message came. It is read here because nix
/// gives nothing of a buffer that the kernel says is not all: so it says, too, when this process
/// has no room for more descriptors, and those that it had room for would stay open for good.
fn owned(beside: &[u8]) -> Vec<OwnedFd> {
    const HEAD: usize = size_of::<libc::cmsghdr>();
    let mut files = Vec::new();
    let mut rest = beside;
    // The kernel's own words: octets of the whole, level, kind, and then what it is about.
    while let Some((length, after)) = rest.split_first_chunk() {
        let length = usize::from_ne_bytes(*length);
        let words = after.as_chunks().0.iter().copied().map(i32::from_ne_bytes);
        let Some(octets) = length.checked_sub(HEAD).filter(|_| length <= rest.len()) else { break };
        let mut words = words.take(2 + octets / size_of::<RawFd>());
        if (words.next(), words.next()) == (Some(libc::SOL_SOCKET), Some(libc::SCM_RIGHTS)) {
            // SAFETY: the kernel has just made each of them for us, and nobody else has them.
            files.extend(words.map(|file| unsafe { OwnedFd::from_raw_fd(file) }));
        }
        rest = rest.get(length.next_multiple_of(size_of::<usize>())..).unwrap_or(&[]);
    }
    files
}

/// The further groups of who is at the other end, as of when it connected.
fn peer_groups(socket: &OwnedFd) -> Vec<u32> {
    let mut groups = vec![0u32; GROUPS_MAX];
    let mut octets = libc::socklen_t::try_from(size_of_val(&groups[..])).unwrap_or(0);
    // SAFETY: the buffer has as many octets as is said, and lives to the end of the call, which
    // writes no more than that.
    let outcome = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERGROUPS,
            groups.as_mut_ptr().cast(),
            &raw mut octets,
        )
    };
    let found = if outcome == 0 { usize::try_from(octets).unwrap_or(0) } else { 0 };
    groups.truncate(found / size_of::<u32>());
    groups
}

fn new_socket() -> io::Result<OwnedFd> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    Ok(socket(AddressFamily::Unix, SockType::SeqPacket, flags, None)?)
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Read as _;

    use super::*;
    use crate::attach::MESSAGE_OCTETS_MAX;

    #[test]
    fn messages_keep_their_bounds_and_a_descriptor_comes_beside_its_own() {
        let (here, there) = Connection::pair().unwrap();
        let file = File::open("/proc/self/comm").unwrap();
        here.send(b"one", None).unwrap();
        here.send(b"two", Some(file.as_fd())).unwrap();
        here.send(b"three", None).unwrap();
        let mut buffer = [0; 64];
        for (expected, has_file) in [(&b"one"[..], false), (b"two", true), (b"three", false)] {
            let came = there.receive(&mut buffer).unwrap().unwrap();
            assert_eq!((came.octets, came.file.is_some()), (expected, has_file));
            let mut text = String::new();
            if let Some(file) = came.file {
                File::from(file).read_to_string(&mut text).unwrap();
                assert!(!text.is_empty());
            }
        }
        let nothing = there.receive(&mut buffer).unwrap_err();
        assert_eq!(nothing.kind(), io::ErrorKind::WouldBlock);
        drop(here);
        assert!(there.receive(&mut buffer).unwrap().is_none());
        assert_eq!(there.send(b"x", None).unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }

    #[test]
    fn the_longest_message_goes_through_and_a_longer_one_is_refused_whole() {
        let (here, there) = Connection::pair().unwrap();
        let mut buffer = vec![0; MESSAGE_OCTETS_MAX];
        here.send(&vec![7; MESSAGE_OCTETS_MAX], None).unwrap();
        let came = there.receive(&mut buffer).unwrap().unwrap();
        assert_eq!(came.octets.len(), MESSAGE_OCTETS_MAX);
        here.send(&vec![7; MESSAGE_OCTETS_MAX + 1], None).unwrap();
        here.send(b"next", None).unwrap();
        let refused = there.receive(&mut buffer).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::InvalidData);
        assert_eq!(there.receive(&mut buffer).unwrap().unwrap().octets, b"next");
    }

    #[test]
    fn descriptors_too_many_are_refused_and_none_of_them_stays_open() {
        let (here, there) = Connection::pair().unwrap();
        let file = File::open("/proc/self/comm").unwrap();
        // Of this very file, which no other test has open.
        let marked = File::open("/proc/self/oom_score").unwrap();
        let ours = || {
            let files = std::fs::read_dir("/proc/self/fd").unwrap();
            let targets = files.filter_map(|entry| entry.unwrap().path().read_link().ok());
            targets.filter(|target| target.ends_with("oom_score")).count()
        };
        assert_eq!(ours(), 1);
        for count in [2, 4, 5, DESCRIPTORS] {
            let descriptors = vec![marked.as_raw_fd(); count];
            let beside = [ControlMessage::ScmRights(&descriptors)];
            let pieces = [IoSlice::new(b"many")];
            let socket = here.0.as_raw_fd();
            sendmsg::<UnixAddr>(socket, &pieces, &beside, MsgFlags::empty(), None).unwrap();
            let refused = there.receive(&mut [0; 64]).unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::InvalidData, "{count}");
            assert_eq!(ours(), 1, "{count}");
        }
        here.send(b"one", Some(file.as_fd())).unwrap();
        assert!(there.receive(&mut [0; 64]).unwrap().unwrap().file.is_some());
    }

    #[test]
    fn who_connects_is_known_and_one_who_has_gone_is_not_mistaken() {
        let folder = std::env::temp_dir().join(format!("bumpless-conn-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("socket");
        let listener = Listener::bind(&path).unwrap();
        assert_eq!(Listener::bind(&path).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        assert_eq!(listener.accept().unwrap_err().kind(), io::ErrorKind::WouldBlock);
        let client = Connection::open(&path).unwrap();
        let served = listener.accept().unwrap();
        let pid = i32::try_from(std::process::id()).unwrap();
        assert_eq!(served.peer().unwrap().pid, pid);
        served.peer_process().unwrap();
        drop(client);
        assert!(served.peer_process().is_err());
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn who_does_not_read_makes_nobody_wait() {
        let (here, _there) = Connection::pair().unwrap();
        let sent = (0..10_000).find_map(|_| here.send(&[1; 1_000], None).err());
        assert_eq!(sent.unwrap().kind(), io::ErrorKind::WouldBlock);
    }
}
