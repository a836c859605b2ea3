//! A true broker, to which segments are handed that others changed.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::PathBuf;

use bumpless::attach::{MESSAGE_OCTETS_MAX, Registration, Reply, Request};
use bumpless::book::{Book, Rights, Takeover};
use bumpless::os::broker::{Broker, Event, Host};
use bumpless::os::connection::{Connection, Listener, Peer};
use bumpless::os::page::open_page;
use bumpless::os::segment::Segment;
use bumpless::page::{Office, Role};
use bumpless::segment::{Layout, RegionName};

use crate::forge::{for_writing, reads_all, schema};
use crate::{OCTETS, name};

/// Lets everybody do everything, and writes nothing down.
struct Anybody;

impl Host for Anybody {
    fn rights(&self, _: &Peer, _: RegionName, _: RegionName) -> Rights {
        Rights { write: true, read: true }
    }

    fn store_epoch(&mut self, _: RegionName, _: u64) -> io::Result<()> {
        Ok(())
    }

    fn tell(&mut self, _: Event) {}
}

/// A broker in its folder.
pub(crate) struct Desk {
    pub(crate) broker: Broker,
    folder: PathBuf,
}

impl Desk {
    /// One that comes after a life in which `plc` was at `epoch`.
    pub(crate) fn start(test: &str, epoch: u64) -> Self {
        let folder = std::env::temp_dir().join(format!("bumpless-{test}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        let mut book = Book::new(20);
        book.add_application(name("plc"), Takeover::OnExit, epoch).unwrap();
        book.add_application(name("hmi"), Takeover::OnExit, 0).unwrap();
        book.add_region(name("plant"), name("plc")).unwrap();
        book.add_region(name("trend"), name("plc")).unwrap();
        book.add_application(name("drive"), Takeover::OnExit, epoch).unwrap();
        book.add_region(name("axis"), name("drive")).unwrap();
        book.set_in_charge(true, &mut |_| {});
        let listener = Listener::bind(&folder.join("socket")).unwrap();
        Self { broker: Broker::new(listener, book, 1_000).unwrap(), folder }
    }

    fn say(&mut self, to: &Connection, request: &Request<'_>, file: Option<&OwnedFd>) -> Heard {
        let mut buffer = vec![0; MESSAGE_OCTETS_MAX];
        let octets = request.encode(&mut buffer).unwrap();
        to.send(octets, file.map(|file| file.as_fd())).unwrap();
        self.broker.turn(&mut Anybody);
        let mut buffer = vec![0; MESSAGE_OCTETS_MAX];
        loop {
            let came = to.receive(&mut buffer).unwrap().unwrap();
            match Reply::decode(came.octets).unwrap() {
                Reply::Office => {}
                reply => return Heard { text: format!("{reply:?}"), file: came.file },
            }
        }
    }

    fn join(&mut self, application: &str) -> (Connection, OwnedFd) {
        let connection = Connection::open(&self.folder.join("socket")).unwrap();
        let hello = Request::Hello { application: name(application), library: "test" };
        let welcome = self.say(&connection, &hello, None);
        (connection, welcome.file.unwrap())
    }

    /// Somebody reads `plant`; what there is of it is whole, or there is nothing.
    pub(crate) fn serves_a_reader(&mut self) {
        let (reader, _page) = self.join("hmi");
        let attach = Request::Attach { region: name("plant"), schema: &[] };
        let heard = self.say(&reader, &attach, None);
        assert!(heard.text.starts_with("Attached"), "{}", heard.text);
        if let Some(Ok(shown)) = heard.file.map(|file| Segment::open(file, false)) {
            reads_all(shown);
        }
    }

    /// Somebody comes who says that it owned `segment` under epoch 1; what it is then.
    pub(crate) fn comes_back(&mut self, segment: Segment) -> (Role, u64) {
        let (owner, page) = self.join("plc");
        let schema = schema();
        let layout = Layout::new(OCTETS, 4, schema.len()).unwrap();
        let registration = Registration::new(name("plant"), layout, &schema);
        let held = Request::Register(Registration { held_epoch: 1, ..registration });
        let heard = self.say(&owner, &held, Some(&for_writing(&segment)));
        assert_eq!(heard.text, "Registered { index: 0 }");
        self.say(&owner, &Request::Ready, None);
        self.broker.turn(&mut Anybody);
        let Office { role, epoch } = open_page(&page).unwrap().office();
        (role, epoch)
    }
}

struct Heard {
    text: String,
    file: Option<OwnedFd>,
}

impl Drop for Desk {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
