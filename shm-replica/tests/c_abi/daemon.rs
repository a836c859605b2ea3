//! A daemon's part for programs that use the C interface: a broker on its real socket.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use bumpless::book::{Book, Rights, Takeover};
use bumpless::os::broker::{Broker, Event, Host};
use bumpless::os::connection::{Listener, Peer};
use bumpless::segment::RegionName;
use nix::poll::{PollTimeout, poll};

/// The regions of the one application, `plc`.
const REGIONS: [&str; 3] = ["plant", "recipe", "log"];

type Order = Box<dyn FnOnce(&mut Broker) + Send>;

/// A broker that a thread drives, in a folder of its own.
pub(crate) struct Daemon {
    folder: PathBuf,
    stops: Arc<AtomicBool>,
    orders: Sender<Order>,
    thread: Option<JoinHandle<()>>,
}

struct Anybody;

impl Host for Anybody {
    fn rights(&self, _: &Peer, _: RegionName, _: RegionName) -> Rights {
        Rights { write: true, read: true }
    }

    fn store_epoch(&mut self, _: RegionName, _: u64) -> io::Result<()> {
        Ok(())
    }

    fn tell(&mut self, event: Event) {
        println!("daemon: {event:?}");
    }
}

impl Daemon {
    /// Starts one; its runtime folder is below `parent`.
    pub(crate) fn start(parent: &Path) -> Self {
        let folder = parent.join("run");
        std::fs::create_dir_all(&folder).unwrap();
        let name = |text| RegionName::new(text).unwrap();
        let mut book = Book::new(20);
        book.add_application(name("plc"), Takeover::OnExit, 0).unwrap();
        for region in REGIONS {
            book.add_region(name(region), name("plc")).unwrap();
        }
        book.set_in_charge(true, &mut |_| {});
        let listener = Listener::bind(&folder.join("regions.sock")).unwrap();
        let broker = Broker::new(listener, book, 1).unwrap();
        let stops = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&stops);
        let (orders, inbox) = channel();
        let thread = Some(std::thread::spawn(move || drive(broker, &told, &inbox)));
        Self { folder, stops, orders, thread }
    }

    /// Its runtime folder.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Puts whoever stands by in charge.
    pub(crate) fn switch_over(&self) {
        let order: Order = Box::new(|broker| {
            let standby = broker.standby_of(RegionName::new("plc").unwrap()).unwrap();
            broker.book().order_active(standby).unwrap();
        });
        self.orders.send(order).unwrap();
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.stops.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn drive(mut broker: Broker, stops: &AtomicBool, orders: &Receiver<Order>) {
    while !stops.load(Ordering::Acquire) {
        {
            let mut fds: Vec<_> = broker.poll_fds().collect();
            poll(&mut fds, PollTimeout::from(5u8)).unwrap();
        }
        orders.try_iter().for_each(|order| order(&mut broker));
        broker.turn(&mut Anybody);
    }
}
