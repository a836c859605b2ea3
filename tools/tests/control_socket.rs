//! The control server against clients that are slow, hostile, half-open or gone.
//!
//! The server runs in the test's own thread and is told the time, so that every deadline is met or
//! missed on purpose. Each turn returning at all is the proof that no client can hold it: nothing
//! here would come to its end otherwise.

#![allow(clippy::unwrap_used, reason = "a test ends where something unexpected happens")]

mod fake_daemon;

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::Command;

use fake_daemon::{FakeSource, TestFolder, all_events, many_nodes};
use rt_core::limits::{CONTROL_CLIENT_PATIENCE, CONTROL_CLIENTS_MAX};
use rt_core::time::{Duration, Instant};

const ALMOST: Duration = Duration::from_millis(100);
use tools::config::SocketGroup;
use tools::control::{ControlServer, RefusalCode, Reply, Request, client, socket_path};
use tools::exit::ExitCode;
use tools::report::{Document, Event};

struct Bench {
    folder: TestFolder,
    server: ControlServer,
    source: FakeSource,
    now: Instant,
}

impl Bench {
    fn new() -> Self {
        let folder = TestFolder::new();
        let server = ControlServer::bind(&folder.0, &SocketGroup::Default).unwrap();
        Self { folder, server, source: FakeSource::default(), now: Instant::from_nanos(1) }
    }

    fn connect(&self) -> UnixStream {
        let stream = UnixStream::connect(socket_path(&self.folder.0)).unwrap();
        stream.set_nonblocking(true).unwrap();
        stream
    }

    fn turn(&mut self) {
        self.server.handle_ready(self.now, &mut self.source);
    }

    fn pass(&mut self, span: Duration) {
        self.now += span;
        self.turn();
    }

    /// Connects, sends, and gives the reply.
    fn ask(&mut self, request: &[u8]) -> Reply {
        let mut client = self.connect();
        client.write_all(request).unwrap();
        self.reply(&mut client)
    }

    /// Turns until the client has everything and the server has closed.
    fn reply(&mut self, client: &mut UnixStream) -> Reply {
        let text = self.drain(client);
        serde_json::from_slice(&text).unwrap_or_else(|error| {
            panic!("{error}: {:?}", String::from_utf8_lossy(&text[..text.len().min(200)]))
        })
    }

    fn drain(&mut self, client: &mut UnixStream) -> Vec<u8> {
        let mut text = Vec::new();
        // 16 MiB at 100 KiB a turn, and then some.
        for _ in 0..10_000 {
            self.turn();
            match client.read_to_end(&mut text) {
                Ok(_) => return text,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                // The server closed with something of ours unread.
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return text,
                Err(error) => panic!("{error}"),
            }
        }
        panic!("the server never closed; {} octets so far", text.len());
    }
}

const STATUS: &[u8] = b"{\"request\":\"status\"}\n";
const NODES: &[u8] = b"{\"request\":\"nodes\"}\n";
const FOLLOW: &[u8] = b"{\"request\":\"events\",\"follow\":true}\n";

#[track_caller]
fn refused(reply: &Reply, code: RefusalCode) {
    match reply {
        Reply::Refused(refusal) => assert_eq!(refusal.code, code, "{}", refusal.message),
        Reply::Document(_) => panic!("a document, expected a refusal {code:?}"),
    }
}

#[test]
fn each_request_gets_its_document() {
    let mut bench = Bench::new();
    let reply = bench.ask(STATUS);
    assert_eq!(reply, Reply::Document(Document::Status(Box::new(fake_daemon::status()))));
    let reply = bench.ask(NODES);
    assert_eq!(reply, Reply::Document(Document::Nodes(fake_daemon::nodes())));
    let reply = bench.ask(b"{\"request\":\"counters\"}\n");
    assert!(matches!(reply, Reply::Document(Document::Counters(_))));
    let Reply::Document(Document::Events(events)) = bench.ask(b"{\"request\":\"events\"}\n") else {
        panic!("no events");
    };
    assert_eq!(events.events, all_events());
    assert_eq!(bench.server.clients(), 0);
    assert_eq!(bench.server.counters().clients, 4);
}

#[test]
fn the_socket_is_for_the_group_only() {
    let bench = Bench::new();
    let metadata = fs::symlink_metadata(socket_path(&bench.folder.0)).unwrap();
    assert!(metadata.file_type().is_socket());
    assert_eq!(metadata.permissions().mode() & 0o7777, 0o660);
}

#[test]
fn a_group_that_is_named_gets_the_socket_or_the_start_fails() {
    let folder = TestFolder::new();
    let nobody = SocketGroup::Named("no-such-group-here".to_owned());
    let failure = ControlServer::bind(&folder.0, &nobody).unwrap_err();
    assert_eq!(failure.code, ExitCode::Usage);
    assert!(failure.message.starts_with("socket_group: there is no group"), "{failure}");
    if !nix::unistd::geteuid().is_root() {
        println!("SKIP: a_group_that_is_named_gets_the_socket: needs root");
        return;
    }
    let group = nix::unistd::Group::from_name("daemon").unwrap();
    let Some(group) = group else {
        println!("SKIP: a_group_that_is_named_gets_the_socket: no group daemon");
        return;
    };
    let _server = ControlServer::bind(&folder.0, &SocketGroup::Named("daemon".to_owned())).unwrap();
    assert_eq!(fs::metadata(socket_path(&folder.0)).unwrap().gid(), group.gid.as_raw());
}

#[test]
fn a_second_daemon_is_refused_and_the_first_goes_on() {
    let mut bench = Bench::new();
    let failure = ControlServer::bind(&bench.folder.0, &SocketGroup::Default).unwrap_err();
    assert_eq!(failure.code, ExitCode::Failed);
    assert!(failure.message.contains("another bumplessd"), "{failure}");
    // Someone tidied the lock away: the socket that answers is found.
    fs::remove_file(bench.folder.0.join("control.lock")).unwrap();
    let failure = ControlServer::bind(&bench.folder.0, &SocketGroup::Default).unwrap_err();
    assert!(failure.message.contains("another bumplessd"), "{failure}");
    assert!(matches!(bench.ask(STATUS), Reply::Document(_)));
}

#[test]
fn what_a_dead_daemon_left_is_replaced() {
    let folder = TestFolder::new();
    drop(UnixListener::bind(socket_path(&folder.0)).unwrap());
    drop(UnixListener::bind(folder.0.join("control.sock.new")).unwrap());
    fs::write(folder.0.join("control.lock"), "").unwrap();
    let mut server = ControlServer::bind(&folder.0, &SocketGroup::Default).unwrap();
    let mut client = UnixStream::connect(socket_path(&folder.0)).unwrap();
    client.write_all(STATUS).unwrap();
    server.handle_ready(Instant::ORIGIN, &mut FakeSource::default());
    let mut text = String::new();
    client.read_to_string(&mut text).unwrap();
    assert!(text.starts_with("{\"reply\":\"status\""), "{text}");
}

#[test]
fn a_file_that_is_no_socket_is_left_alone() {
    let folder = TestFolder::new();
    fs::write(socket_path(&folder.0), "precious").unwrap();
    let failure = ControlServer::bind(&folder.0, &SocketGroup::Default).unwrap_err();
    assert_eq!(failure.code, ExitCode::Usage);
    assert_eq!(fs::read_to_string(socket_path(&folder.0)).unwrap(), "precious");
}

#[test]
fn a_runtime_folder_that_cannot_be_is_named_with_its_remedy() {
    let folder = TestFolder::new();
    let long = folder.0.join("x".repeat(100));
    let failure = ControlServer::bind(&long, &SocketGroup::Default).unwrap_err();
    assert_eq!(failure.code, ExitCode::Usage, "{failure}");
    assert!(failure.message.contains("too long"), "{failure}");
    let file = folder.0.join("file");
    fs::write(&file, "").unwrap();
    let failure = ControlServer::bind(&file, &SocketGroup::Default).unwrap_err();
    assert!(failure.to_string().contains("--runtime-dir"), "{failure}");
    let failure = ControlServer::bind(&file.join("in"), &SocketGroup::Default).unwrap_err();
    assert!(failure.to_string().contains("--runtime-dir"), "{failure}");
}

#[test]
fn an_orderly_end_removes_what_was_created() {
    let folder = TestFolder::new();
    let runtime_dir = folder.0.join("deep/prp0");
    let server = ControlServer::bind(&runtime_dir, &SocketGroup::Default).unwrap();
    drop(server);
    assert!(!runtime_dir.exists());
    // A folder that was there stays.
    fs::create_dir_all(&runtime_dir).unwrap();
    drop(ControlServer::bind(&runtime_dir, &SocketGroup::Default).unwrap());
    assert_eq!(fs::read_dir(&runtime_dir).unwrap().count(), 0);
}

#[test]
fn what_is_no_request_is_refused_with_the_reason() {
    let mut bench = Bench::new();
    let deep = [b"[".repeat(4_000), b"\n".to_vec()].concat();
    let bad: [&[u8]; 9] = [
        b"\n",
        b"{}\n",
        b"status\n",
        b"{\"request\":\"reboot\"}\n",
        b"{\"request\":\"status\",\"extra\":1}\n",
        b"{\"request\":\"events\",\"follow\":\"yes\"}\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\xff\xfe\x00\x01\n",
        &deep,
    ];
    for request in bad {
        refused(&bench.ask(request), RefusalCode::BadRequest);
    }
    assert_eq!(bench.source.asked, 0, "no bad request reaches the source");
    assert!(matches!(bench.ask(STATUS), Reply::Document(_)));
}

#[test]
fn a_request_without_end_is_cut_at_its_limit() {
    let mut bench = Bench::new();
    let mut client = bench.connect();
    // More than the server takes; it stays in the socket.
    client.write_all(&[b' '; 64 * 1024]).unwrap();
    let reply = bench.reply(&mut client);
    refused(&reply, RefusalCode::BadRequest);
    assert_eq!(bench.server.clients(), 0);
}

#[test]
fn only_the_first_line_counts() {
    let mut bench = Bench::new();
    let request = [STATUS, NODES, b"garbage\n"].concat();
    assert!(matches!(bench.ask(&request), Reply::Document(Document::Status(_))));
    assert_eq!(bench.source.asked, 1);
}

#[test]
fn a_request_may_come_in_pieces_and_end_with_the_stream() {
    let mut bench = Bench::new();
    let mut client = bench.connect();
    for octet in &STATUS[..STATUS.len() - 1] {
        client.write_all(&[*octet]).unwrap();
        bench.turn();
    }
    assert_eq!(bench.source.asked, 0);
    client.shutdown(Shutdown::Write).unwrap();
    assert!(matches!(bench.reply(&mut client), Reply::Document(_)));
}

#[test]
fn a_client_that_does_not_ask_is_told_and_closed() {
    let mut bench = Bench::new();
    let mut silent = bench.connect();
    let mut drip = bench.connect();
    bench.turn();
    let end = bench.now + CONTROL_CLIENT_PATIENCE;
    while bench.now + ALMOST < end {
        drip.write_all(b" ").unwrap();
        bench.pass(ALMOST);
    }
    assert_eq!(bench.server.clients(), 2);
    bench.pass(ALMOST);
    assert_eq!(bench.server.clients(), 0, "dripping does not move the deadline");
    refused(&bench.reply(&mut silent), RefusalCode::TimedOut);
    refused(&bench.reply(&mut drip), RefusalCode::TimedOut);
}

#[test]
fn a_client_that_vanishes_leaves_nothing() {
    let mut bench = Bench::new();
    // Before it asks, in the middle of its request, with the answer pending, and with the reply
    // half read.
    drop(bench.connect());
    bench.turn();
    assert_eq!(bench.server.clients(), 0);

    let mut client = bench.connect();
    client.write_all(b"{\"requ").unwrap();
    bench.turn();
    drop(client);
    bench.turn();
    bench.turn();
    assert_eq!(bench.server.clients(), 0);

    bench.source.pending_turns = u32::MAX;
    let mut client = bench.connect();
    client.write_all(NODES).unwrap();
    bench.turn();
    assert_eq!(bench.server.clients(), 1);
    drop(client);
    bench.turn();
    assert_eq!(bench.server.clients(), 0);

    bench.source.pending_turns = 0;
    bench.source.nodes = many_nodes(16_384);
    let mut client = bench.connect();
    client.write_all(NODES).unwrap();
    bench.turn();
    assert_eq!(bench.server.clients(), 1, "the reply is longer than the socket's buffer");
    let mut some = [0u8; 1000];
    client.read_exact(&mut some).unwrap();
    drop(client);
    bench.turn();
    assert_eq!(bench.server.clients(), 0);
}

#[test]
fn a_client_that_does_not_read_is_closed_and_holds_nobody() {
    let mut bench = Bench::new();
    bench.source.nodes = many_nodes(16_384);
    let mut deaf = bench.connect();
    deaf.write_all(NODES).unwrap();
    bench.turn();
    let end = bench.now + CONTROL_CLIENT_PATIENCE;
    while bench.now + ALMOST < end {
        bench.pass(ALMOST);
        assert!(matches!(bench.ask(STATUS), Reply::Document(_)));
    }
    assert_eq!(bench.server.clients(), 1);
    bench.pass(ALMOST);
    assert_eq!(bench.server.clients(), 0);
}

#[test]
fn the_largest_table_arrives_whole() {
    let mut bench = Bench::new();
    bench.source.nodes = many_nodes(16_384);
    let reply = bench.ask(NODES);
    let Reply::Document(Document::Nodes(nodes)) = reply else { panic!("no nodes") };
    assert_eq!(nodes, bench.source.nodes);
}

#[test]
fn replies_that_nobody_reads_are_bounded_together() {
    let mut bench = Bench::new();
    bench.source.nodes = many_nodes(16_384);
    let mut deaf: Vec<UnixStream> = (0..CONTROL_CLIENTS_MAX).map(|_| bench.connect()).collect();
    for client in &mut deaf {
        client.write_all(NODES).unwrap();
    }
    bench.turn();
    bench.turn();
    // Those that found no room have their refusal and are gone; the rest hold less than 32 MiB.
    let waiting = bench.server.clients();
    assert!((1..CONTROL_CLIENTS_MAX).contains(&waiting), "{waiting} wait");
    let refusals = deaf
        .iter_mut()
        .filter_map(|client| {
            let mut text = Vec::new();
            client.read_to_end(&mut text).ok()?;
            serde_json::from_slice::<Reply>(&text).ok()
        })
        .inspect(|reply| refused(reply, RefusalCode::Busy))
        .count();
    assert_eq!(refusals, CONTROL_CLIENTS_MAX - waiting);
}

#[test]
fn one_client_too_many_is_told_so() {
    let mut bench = Bench::new();
    let mut idle: Vec<UnixStream> = (0..CONTROL_CLIENTS_MAX).map(|_| bench.connect()).collect();
    bench.turn();
    assert_eq!(bench.server.clients(), CONTROL_CLIENTS_MAX);
    refused(&bench.ask(STATUS), RefusalCode::Busy);
    assert_eq!(bench.server.counters().clients_refused, 1);
    // One of the others still gets its answer, and whoever leaves makes room at once.
    idle[7].write_all(STATUS).unwrap();
    let mut seventh = idle.remove(7);
    assert!(matches!(bench.reply(&mut seventh), Reply::Document(_)));
    assert!(matches!(bench.ask(STATUS), Reply::Document(_)));
    // The idle ones cannot keep their places.
    bench.pass(CONTROL_CLIENT_PATIENCE);
    assert_eq!(bench.server.clients(), 0);
}

#[test]
fn a_flood_of_connections_passes() {
    let mut bench = Bench::new();
    for _ in 0..100 {
        // As many as the backlog takes without waiting, all dropped at once.
        let flood: Vec<UnixStream> = (0..50).map(|_| bench.connect()).collect();
        bench.turn();
        assert!(bench.server.clients() <= CONTROL_CLIENTS_MAX);
        drop(flood);
        bench.turn();
    }
    bench.turn();
    bench.turn();
    assert!(matches!(bench.ask(STATUS), Reply::Document(_)));
    let counters = bench.server.counters();
    assert_eq!(counters.clients + counters.clients_refused, 5_001);
}

#[test]
fn an_answer_that_takes_some_turns_is_waited_for_and_one_that_never_comes_is_not() {
    let mut bench = Bench::new();
    bench.source.pending_turns = 5;
    let mut client = bench.connect();
    client.write_all(NODES).unwrap();
    bench.turn();
    assert!(bench.server.poll_timeout(bench.now) <= Duration::from_millis(2), "asked again soon");
    // Others do not wait for it.
    assert!(matches!(bench.ask(STATUS), Reply::Document(_)));
    assert!(matches!(bench.reply(&mut client), Reply::Document(Document::Nodes(_))));

    bench.source.pending_turns = u32::MAX;
    let mut client = bench.connect();
    client.write_all(NODES).unwrap();
    bench.turn();
    bench.pass(Duration::from_millis(2_900));
    assert_eq!(bench.server.clients(), 1);
    bench.pass(Duration::from_millis(100));
    refused(&bench.reply(&mut client), RefusalCode::TimedOut);
}

#[test]
fn what_the_source_cannot_say_is_refused_with_its_reason() {
    let mut bench = Bench::new();
    bench.source.unavailable = Some("the lre thread does not answer".to_owned());
    let reply = bench.ask(NODES);
    refused(&reply, RefusalCode::Unavailable);
    let Reply::Refused(refusal) = reply else { unreachable!() };
    assert_eq!(refusal.message, "the lre thread does not answer");
}

/// The whole lines that have come so far.
fn lines(client: &mut UnixStream, rest: &mut Vec<u8>) -> Vec<String> {
    match client.read_to_end(rest) {
        Err(error) if error.kind() == ErrorKind::WouldBlock => {}
        other => panic!("closed: {other:?}"),
    }
    let end = rest.iter().rposition(|&octet| octet == b'\n').map_or(0, |at| at + 1);
    let whole: Vec<u8> = rest.drain(..end).collect();
    String::from_utf8(whole).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn a_follower_gets_each_event_once_and_in_order() {
    let mut bench = Bench::new();
    let later = bench.source.events.split_off(10);
    let mut client = bench.connect();
    client.write_all(FOLLOW).unwrap();
    bench.turn();
    let mut rest = Vec::new();
    let first = lines(&mut client, &mut rest);
    assert_eq!(first.len(), 1);
    let Ok(Reply::Document(Document::Events(kept))) = serde_json::from_str(&first[0]) else {
        panic!("{first:?}");
    };
    assert_eq!(kept.events.len(), 10);
    for event in later {
        bench.source.events.push(event.clone());
        bench.pass(Duration::from_secs(60));
        let lines = lines(&mut client, &mut rest);
        assert_eq!(lines.len(), 1);
        assert_eq!(serde_json::from_str::<Event>(&lines[0]).unwrap(), event);
    }
    drop(client);
    bench.turn();
    assert_eq!(bench.server.clients(), 0);
}

#[test]
fn a_follower_that_does_not_read_is_bounded_and_then_closed() {
    let mut bench = Bench::new();
    let mut event = bench.source.events[0].clone();
    bench.source.events.clear();
    let mut client = bench.connect();
    client.write_all(FOLLOW).unwrap();
    bench.turn();
    for round in 0..90u64 {
        for sequence in 0..100 {
            event.sequence = round * 100 + sequence + 1;
            bench.source.events.push(event.clone());
        }
        bench.pass(Duration::from_millis(50));
    }
    assert_eq!(bench.server.clients(), 1);
    let mut rest = Vec::new();
    let got = lines(&mut client, &mut rest).len();
    // One document, what the socket buffers, and 64 KiB at about 200 octets an event.
    assert!(got < 5_000, "{got} of 9000 events were kept for a client that does not read");
    // It reads again: the rest comes, nothing is missing.
    let mut total = got - 1;
    for _ in 0..1_000 {
        bench.turn();
        total += lines(&mut client, &mut rest).len();
        if total == 9_000 {
            break;
        }
    }
    assert_eq!(total, 9_000);
    // And stops for good.
    for sequence in 9_001..20_000 {
        event.sequence = sequence;
        bench.source.events.push(event.clone());
    }
    // Until the socket is full: what the kernel takes counts as read.
    for _ in 0..100 {
        bench.turn();
    }
    bench.pass(CONTROL_CLIENT_PATIENCE);
    assert_eq!(bench.server.clients(), 0);
}

#[test]
fn a_source_that_repeats_itself_does_not_keep_the_server() {
    struct Stuck(FakeSource);
    impl tools::control::ControlSource for Stuck {
        fn answer(&mut self, request: &Request, asked: Instant) -> tools::control::Answer {
            self.0.answer(request, asked)
        }
        fn event_after(&mut self, _sequence: u64) -> Option<Event> {
            self.0.events.first().cloned()
        }
    }
    let mut bench = Bench::new();
    let mut client = bench.connect();
    client.write_all(FOLLOW).unwrap();
    let mut source = Stuck(FakeSource::default());
    for _ in 0..3 {
        bench.server.handle_ready(bench.now, &mut source);
    }
    assert_eq!(lines(&mut client, &mut Vec::new()).len(), 1, "the document and nothing twice");
}

#[test]
fn the_client_gives_up_on_a_daemon_that_never_accepts() {
    // A stopped daemon: the socket listens, nobody is behind it. The client's own time-out of 5 s
    // ends this; without it the test would hang.
    let folder = TestFolder::new();
    let _listener = UnixListener::bind(socket_path(&folder.0)).unwrap();
    let failure = client::ask(&folder.0, &Request::Status).unwrap_err();
    assert_eq!(failure.code, ExitCode::Failed);
    assert!(failure.message.contains("does not answer"), "{failure}");
}

/// The limit of descriptors is the whole process's: the test runs itself again, alone.
#[test]
fn no_descriptors_left_does_not_make_the_server_spin() {
    const ALONE: &str = "BUMPLESS_TEST_ALONE";
    if std::env::var_os(ALONE).is_some() {
        without_descriptors();
        return;
    }
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "no_descriptors_left_does_not_make_the_server_spin", "--nocapture"])
        .env(ALONE, "1")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("descriptors came back"), "{text}");
}

fn without_descriptors() {
    use nix::sys::resource::{Resource, setrlimit};
    let mut bench = Bench::new();
    let mut client = bench.connect();
    client.write_all(STATUS).unwrap();
    // The next descriptor would be the lowest free one: no number is free below it.
    let next = fs::File::open("/dev/null").unwrap();
    let limit = u64::try_from(next.as_raw_fd()).unwrap();
    drop(next);
    setrlimit(Resource::RLIMIT_NOFILE, limit, limit + 100).unwrap();
    bench.turn();
    assert_eq!(bench.server.clients(), 0);
    assert_eq!(bench.server.poll_fds(bench.now).count(), 0, "the listener is not looked at");
    assert_eq!(bench.server.poll_timeout(bench.now), Duration::from_millis(100));
    setrlimit(Resource::RLIMIT_NOFILE, limit + 100, limit + 100).unwrap();
    bench.pass(Duration::from_millis(100));
    assert!(matches!(bench.reply(&mut client), Reply::Document(_)));
    println!("descriptors came back");
}
