//! Something that poses as the daemon, on a real socket.

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::thread::JoinHandle;

use bumpless::attach::{MESSAGE_OCTETS_MAX, REPLY_OCTETS_MAX, Reply, Request};
use bumpless::os::connection::{Connection, Listener};
use bumpless::os::page::PageFile;
use bumpless::os::participant::{Options, ReaderOptions, RegionOptions, Setup};
use bumpless::page::{Office, Role};
use rt_core::time::Duration;

use crate::{OCTETS, name};

/// Poses as a daemon: `answer` says what to answer to which request, in which order.
pub(crate) struct Impostor {
    folder: PathBuf,
    stops: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

pub(crate) type Answer = (Vec<u8>, Option<OwnedFd>);

impl Impostor {
    pub(crate) fn start(
        test: &str,
        answer: impl FnMut(usize, &[u8]) -> Option<Answer> + Send + 'static,
    ) -> Self {
        Self::start_talking(test, answer, channel().1)
    }

    /// The same, and it says unasked what comes through `unasked`.
    pub(crate) fn start_talking(
        test: &str,
        mut answer: impl FnMut(usize, &[u8]) -> Option<Answer> + Send + 'static,
        unasked: Receiver<Answer>,
    ) -> Self {
        let folder = std::env::temp_dir().join(format!("bumpless-{test}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        let listener = Listener::bind(&folder.join("regions.sock")).unwrap();
        let stops = Arc::new(AtomicBool::new(false));
        let stop = Arc::clone(&stops);
        let thread = std::thread::spawn(move || {
            let mut buffer = vec![0; MESSAGE_OCTETS_MAX];
            let mut client: Option<(Connection, usize)> = None;
            while !stop.load(Ordering::Acquire) {
                if let Ok(new) = listener.accept() {
                    client = Some((new, 0));
                }
                let Some((connection, count)) = &mut client else {
                    std::thread::sleep(std::time::Duration::from_micros(100));
                    continue;
                };
                if let Ok((octets, file)) = unasked.try_recv() {
                    let _gone = connection.send(&octets, file.as_ref().map(AsFd::as_fd));
                }
                match connection.receive(&mut buffer) {
                    Ok(Some(came)) => {
                        let answered = answer(*count, came.octets);
                        *count += 1;
                        let sent = answered.is_some_and(|(octets, file)| {
                            connection.send(&octets, file.as_ref().map(AsFd::as_fd)).is_ok()
                        });
                        if !sent {
                            client = None;
                        }
                    }
                    Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                        std::thread::sleep(std::time::Duration::from_micros(100));
                    }
                    _ => client = None,
                }
            }
        });
        Self { folder, stops, thread: Some(thread) }
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.join("regions.sock")
    }
}

impl Drop for Impostor {
    fn drop(&mut self) {
        self.stops.store(true, Ordering::Release);
        self.thread.take().unwrap().join().unwrap();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Becomes attached, or not, and lives for some cycles.
pub(crate) fn lives(socket: &Path, writes: bool) -> bool {
    lives_as("plant", socket, writes)
}

/// The same, with a region of this name.
pub(crate) fn lives_as(region: &str, socket: &Path, writes: bool) -> bool {
    let mut options = Options::new(name("plc"), socket.to_owned());
    options.patience = Duration::from_millis(200);
    let mut setup = Setup::new(options);
    if writes {
        setup.register(RegionOptions::new(name(region), OCTETS)).unwrap();
    } else {
        setup.attach(ReaderOptions::new(name(region))).unwrap();
    }
    let Ok((participant, mut cyclic)) = setup.activate() else { return false };
    for _ in 0..20 {
        let cycle = cyclic.begin();
        if cycle.role == Role::Active {
            let _any = cyclic.commit(|_| [&[1; OCTETS][..]]);
        }
        let _any = cyclic.read(0, false);
        std::thread::sleep(std::time::Duration::from_micros(200));
    }
    participant.deactivate();
    true
}

pub(crate) fn encoded(reply: &Reply<'_>) -> Vec<u8> {
    let mut into = [0; REPLY_OCTETS_MAX];
    reply.encode(&mut into).unwrap().to_vec()
}

/// What a daemon would answer, of which all that it hands over is `file`'s.
pub(crate) fn proper(octets: &[u8], file: &mut dyn FnMut(bool) -> Option<OwnedFd>) -> Answer {
    match Request::decode(octets).unwrap() {
        Request::Hello { .. } => {
            (encoded(&Reply::Welcome { instance: 1, daemon: "x" }), file(true))
        }
        Request::Register(_) => (encoded(&Reply::Registered { index: 0 }), file(false)),
        Request::Attach { .. } => (encoded(&Reply::Attached { index: 0, epoch: 1 }), file(false)),
        _ => (encoded(&Reply::Done), None),
    }
}

pub(crate) fn page(office: Office) -> OwnedFd {
    let page = PageFile::create(1).unwrap();
    page.change(|it| it.set_office(office));
    page.for_reading().unwrap()
}
