//! The ends of an iceoryx2 service, on the course of `bumpless-bench regions`.
//!
//! As its users would write it: publish-subscribe of octets with a header, a queue of as many
//! places as our ring has slots, of which the oldest gives way; woken, an event for each image. The
//! image is copied in; its checksum travels in the header, with number and stamp. The reader copies
//! it out and verifies the copy, or verifies it where it lies. The checksum is ours, so that no
//! difference comes from how it is computed.

use std::path::PathBuf;
use std::process;
use std::time::Duration;

use clap::Parser;
use iceoryx2::port::listener::Listener;
use iceoryx2::port::notifier::Notifier;
use iceoryx2::port::publisher::Publisher;
use iceoryx2::port::subscriber::Subscriber;
use iceoryx2::prelude::*;
use iceoryx2::sample::Sample;
use iceoryx2::service::port_factory::{event, publish_subscribe};
use latency_tests::bench::regions::course::{Look, Observe, Publish};
use latency_tests::bench::regions::role::Role;
use latency_tests::bench::regions::round::SLOTS;
use rt_core::os::clock::MonotonicClock;
use rt_core::time::Instant;
use shm_replica::crc::Crc;
use tools::exit::{self, Failure};

type Ipc = ipc::Service;
/// Number, stamp in ns, checksum of the image.
type Head = [u64; 3];

/// One end of an iceoryx2 service; a part of `bumpless-bench regions`.
#[derive(Parser, Debug)]
struct Arguments {
    /// Where its files are made
    #[arg(long)]
    root: PathBuf,
    /// What their names in shared memory begin with
    #[arg(long)]
    prefix: String,
    #[command(flatten)]
    role: Role,
}

fn main() -> process::ExitCode {
    let Arguments { root, prefix, role } = Arguments::parse();
    set_log_level(LogLevel::Error);
    let (octets, woken) = (role.plan().image_octets, role.plan().woken);
    let place = (root.to_string_lossy().into_owned(), prefix);
    let same = place.clone();
    let copy = role.copies_out.then(|| vec![0; octets]);
    let ended = role
        .run(move || Writer::new(&place, octets, woken), move || Reader::new(&same, copy, woken));
    exit::end("beside-iceoryx2", ended)
}

/// What both ends share: node and services, kept as long as their ports.
struct Services {
    _node: Node<Ipc>,
    images: publish_subscribe::PortFactory<Ipc, [u8], Head>,
    commits: event::PortFactory<Ipc>,
}

impl Services {
    fn open((root, prefix): &(String, String)) -> Result<Self, Failure> {
        let mut config = Config::default();
        config.global.prefix = FileName::new(prefix.as_bytes()).map_err(failed("prefix"))?;
        let root = Path::new(root.as_bytes()).map_err(failed("root"))?;
        config.global.set_root_path(&root);
        let node = NodeBuilder::new()
            .config(&config)
            .signal_handling_mode(SignalHandlingMode::Disabled)
            .create::<Ipc>()
            .map_err(failed("node"))?;
        let name = |text: &str| ServiceName::new(text).map_err(failed("name"));
        let images = node
            .service_builder(&name("images")?)
            .publish_subscribe::<[u8]>()
            .user_header::<Head>()
            .enable_safe_overflow(true)
            .subscriber_max_buffer_size(SLOTS)
            .max_publishers(1)
            .max_subscribers(1)
            .open_or_create()
            .map_err(failed("publish-subscribe"))?;
        let commits = node
            .service_builder(&name("commits")?)
            .event()
            .open_or_create()
            .map_err(failed("event"))?;
        Ok(Self { _node: node, images, commits })
    }
}

struct Writer {
    publisher: Publisher<Ipc, [u8], Head>,
    notifier: Option<Notifier<Ipc>>,
    _services: Services,
}

impl Writer {
    fn new(place: &(String, String), octets: usize, wakes: bool) -> Result<Self, Failure> {
        Crc::prepare();
        let services = Services::open(place)?;
        let publisher = services
            .images
            .publisher_builder()
            .initial_max_slice_len(octets)
            .create()
            .map_err(failed("publisher"))?;
        let notifier = || services.commits.notifier_builder().create().map_err(failed("notifier"));
        let notifier = wakes.then(notifier).transpose()?;
        Ok(Self { publisher, notifier, _services: services })
    }
}

impl Publish for Writer {
    fn publish(&mut self, number: u64, started_ns: u64, image: &[u8]) -> Result<(), Failure> {
        let mut sample = self.publisher.loan_slice_uninit(image.len()).map_err(failed("loan"))?;
        *sample.user_header_mut() = [number, started_ns, checksum(image)];
        sample.write_from_slice(image).send().map_err(failed("send"))?;
        if let Some(notifier) = &self.notifier {
            notifier.notify().map_err(failed("notify"))?;
        }
        Ok(())
    }
}

struct Reader {
    // Before what it was taken from.
    sample: Option<Sample<Ipc, [u8], Head>>,
    /// Where images are copied to; none where they are verified in place.
    copy: Option<Vec<u8>>,
    subscriber: Subscriber<Ipc, [u8], Head>,
    listener: Option<Listener<Ipc>>,
    _services: Services,
}

impl Reader {
    fn new(place: &(String, String), copy: Option<Vec<u8>>, sleeps: bool) -> Result<Self, Failure> {
        Crc::prepare();
        let services = Services::open(place)?;
        let subscriber = services
            .images
            .subscriber_builder()
            .buffer_size(SLOTS)
            .create()
            .map_err(failed("subscriber"))?;
        let listener = || services.commits.listener_builder().create().map_err(failed("listener"));
        let listener = sleeps.then(listener).transpose()?;
        Ok(Self { sample: None, copy, subscriber, listener, _services: services })
    }
}

impl Observe for Reader {
    fn look(&mut self) -> Result<Look, Failure> {
        let Some(sample) = self.subscriber.receive().map_err(failed("receive"))? else {
            return Ok(Look::Nothing);
        };
        let [number, started_ns, crc] = *sample.user_header();
        let whole = |image: &[u8]| checksum(image) == crc;
        let whole = match &mut self.copy {
            Some(copy) if copy.len() == sample.payload().len() => {
                copy.copy_from_slice(sample.payload());
                // As soon as it has its copy: the queue's places are few.
                drop(sample);
                whole(copy)
            }
            Some(_) => false,
            None => {
                let whole = whole(sample.payload());
                self.sample = Some(sample);
                whole
            }
        };
        Ok(if whole { Look::Image { number, started_ns } } else { Look::Torn })
    }

    fn image(&self) -> &[u8] {
        match (&self.copy, &self.sample) {
            (Some(copy), _) => copy,
            (None, Some(sample)) => sample.payload(),
            (None, None) => &[],
        }
    }

    fn done(&mut self) {
        self.sample = None;
    }

    fn wait(&mut self, until: Instant) -> Result<(), Failure> {
        let Some(listener) = &self.listener else { return Ok(()) };
        let left = until.since(MonotonicClock::now()).as_nanos();
        let woken = listener.timed_wait(|_| (), Duration::from_nanos(left));
        woken.map(drop).map_err(failed("wait"))
    }
}

fn checksum(image: &[u8]) -> u64 {
    u64::from(Crc::new().extend(image).value())
}

fn failed<E: std::fmt::Debug>(what: &'static str) -> impl FnOnce(E) -> Failure {
    move |error| Failure::failed(format!("iceoryx2: {what}: {error:?}"), "")
}
