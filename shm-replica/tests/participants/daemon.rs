//! A daemon: the broker on its real socket, driven by a thread.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use bumpless::book::{Book, Rights, Takeover};
use bumpless::os::broker::{AwaitedOwner, Broker, Event, Host};
use bumpless::os::connection::{Listener, Peer};
use bumpless::os::process;
use bumpless::segment::RegionName;
use nix::poll::{PollTimeout, poll};

use crate::name;

/// What outlives the daemon.
#[derive(Default)]
struct Stored {
    epochs: HashMap<RegionName, u64>,
}

struct Told(Arc<Mutex<Stored>>);

impl Host for Told {
    fn rights(&self, _: &Peer, _: RegionName, _: RegionName) -> Rights {
        Rights { write: true, read: true }
    }

    fn store_epoch(&mut self, application: RegionName, epoch: u64) -> io::Result<()> {
        self.0.lock().unwrap().epochs.insert(application, epoch);
        Ok(())
    }

    fn tell(&mut self, _: Event) {}
}

type Order = Box<dyn FnOnce(&mut Broker) + Send>;

/// A daemon: a broker that a thread drives.
pub(crate) struct Daemon {
    folder: PathBuf,
    stored: Arc<Mutex<Stored>>,
    lives: u64,
    life: Option<Life>,
}

struct Life {
    stops: Arc<AtomicBool>,
    orders: Sender<Order>,
    thread: JoinHandle<()>,
}

impl Daemon {
    pub(crate) fn start(test: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("bumpless-{test}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        let mut daemon = Self { folder, stored: Arc::default(), lives: 0, life: None };
        daemon.live();
        daemon
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.join("regions.sock")
    }

    pub(crate) fn live(&mut self) {
        let stops = Arc::new(AtomicBool::new(false));
        let (orders, inbox) = channel();
        let broker = broker(&self.socket(), &self.stored, self.lives);
        self.lives += 1;
        let host = Told(Arc::clone(&self.stored));
        let thread = {
            let stops = Arc::clone(&stops);
            std::thread::spawn(move || drive(broker, host, &stops, &inbox))
        };
        self.life = Some(Life { stops, orders, thread });
    }

    /// Ends it as SIGKILL does: its sockets and its memory are gone, its pages stand as they were.
    pub(crate) fn kill(&mut self) {
        let life = self.life.take().unwrap();
        life.stops.store(true, Ordering::Release);
        life.thread.join().unwrap();
        std::fs::remove_file(self.socket()).unwrap();
    }

    /// Puts whoever stands by in charge.
    pub(crate) fn switch_over(&self) {
        let order: Order = Box::new(|broker| {
            let standby = broker.standby_of(name("plc")).unwrap();
            broker.book().order_active(standby).unwrap();
        });
        self.life.as_ref().unwrap().orders.send(order).unwrap();
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if self.life.is_some() {
            self.kill();
        }
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn broker(socket: &Path, stored: &Mutex<Stored>, life: u64) -> Broker {
    let epoch = stored.lock().unwrap().epochs.get(&name("plc")).copied().unwrap_or(0);
    let mut book = Book::new(20);
    book.add_application(name("plc"), Takeover::OnExit, epoch).unwrap();
    for region in ["plant", "recipe", "log"] {
        let id = book.add_region(name(region), name("plc")).unwrap();
        if region == "log" {
            book.let_versions_differ(id);
        }
    }
    book.add_application(name("hmi"), Takeover::OnExit, 0).unwrap();
    let panel = book.add_region(name("panel"), name("hmi")).unwrap();
    book.let_versions_differ(panel);
    book.set_in_charge(true, &mut |_| {});
    let mut broker = Broker::new(Listener::bind(socket).unwrap(), book, life).unwrap();
    if epoch > 0 {
        let pid = i32::try_from(std::process::id()).unwrap();
        let process = process::open(pid).unwrap();
        broker.await_owner(name("plc"), AwaitedOwner { pid, process, may_not_know: false });
    }
    broker
}

fn drive(mut broker: Broker, mut host: Told, stops: &AtomicBool, orders: &Receiver<Order>) {
    while !stops.load(Ordering::Acquire) {
        {
            let mut fds: Vec<_> = broker.poll_fds().collect();
            poll(&mut fds, PollTimeout::from(5u8)).unwrap();
        }
        orders.try_iter().for_each(|order| order(&mut broker));
        broker.turn(&mut host);
    }
}
