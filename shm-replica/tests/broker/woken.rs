//! Who sleeps is woken by what it waits for.

use super::*;

#[test]
fn who_waits_for_its_page_or_for_a_commit_is_woken_by_a_takeover() {
    let mut daemon = Daemon::start("woken", 0);
    let (first, segment) = daemon.controller();
    publish(&segment, 1);
    let (second, _next) = daemon.controller();
    while second.hear_any().is_some() {}
    let (_reader, _, file) = daemon.reader(&[]);
    let shown = Segment::open(file.unwrap(), false).unwrap();
    let place = shown.header().layout.place();
    let page = second.page.as_ref().unwrap();
    let until = MonotonicClock::now() + Duration::from_secs(30);
    let changes = page.changes();
    std::thread::scope(|scope| {
        let (says, threads) = std::sync::mpsc::channel();
        let tell = says.clone();
        let page = scope.spawn(move || {
            says.send(nix::unistd::gettid()).unwrap();
            let word = Place { newest: Page::<Mapping>::CHANGES, ..place };
            wake::wait(page.memory(), &word, changes, until)
        });
        let commit = scope.spawn(move || {
            tell.send(nix::unistd::gettid()).unwrap();
            wake::wait(shown.memory(), &place, 1, until)
        });
        for thread in threads.iter().take(2) {
            sleeps(thread);
        }
        daemon.end(first);
        assert!(page.join().unwrap().unwrap(), "the page's change woke nobody");
        assert!(commit.join().unwrap().unwrap(), "the superseded segment's readers sleep on");
    });
    assert_eq!(second.office(), (Role::Active, 2));
    assert_eq!(second.hear_any().unwrap().0, "Office");
}

/// Waits until a thread of this process, whose only wait is the one it is about to begin, sleeps.
fn sleeps(thread: nix::unistd::Pid) {
    for _ in 0..10_000 {
        let stat = std::fs::read_to_string(format!("/proc/self/task/{thread}/stat")).unwrap();
        if stat.contains(") S ") {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    panic!("thread {thread} does not wait");
}
