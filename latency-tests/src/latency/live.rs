//! Daemons that run on this host: what measures beside them must not keep them waiting.

use std::fs;
use std::path::Path;

const DAEMON: &str = "bumplessd";

/// The lowest real-time priority of a daemon's thread; none where no daemon runs that has one, or
/// that this process can see.
#[must_use]
pub fn lowest_priority() -> Option<u8> {
    lowest_priority_below(Path::new("/proc"))
}

fn lowest_priority_below(proc: &Path) -> Option<u8> {
    let is_number = |name: &str| name.bytes().all(|it| it.is_ascii_digit());
    let folders = |path: &Path| {
        let entries = fs::read_dir(path).into_iter().flatten().flatten();
        entries.filter(move |it| it.file_name().to_str().is_some_and(is_number)).map(|it| it.path())
    };
    let is_daemon = |process: &Path| {
        fs::read_to_string(process.join("comm")).is_ok_and(|name| name.trim() == DAEMON)
    };
    let daemons = folders(proc).filter(|process| is_daemon(process));
    let threads = daemons.flat_map(|process| folders(&process.join("task")));
    threads
        .filter_map(|thread| priority(&fs::read_to_string(thread.join("stat")).ok()?))
        .filter(|priority| *priority > 0)
        .min()
}

/// The real-time priority in a thread's `stat`: field 40 of proc(5), the name being the second.
fn priority(stat: &str) -> Option<u8> {
    let (_, behind_name) = stat.rsplit_once(')')?;
    behind_name.split_whitespace().nth(40 - 3)?.parse().ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use tools::netlab::Scratch;

    use super::*;

    /// A thread's `stat` with a name that is hard to read.
    fn stat(priority: u8) -> String {
        let before = "0 ".repeat(36);
        format!("7 (a) b 1 2) S {before}{priority} 1 0 0 0\n")
    }

    #[test]
    fn the_lowest_of_all_daemons_threads_counts_and_no_other_program_s() {
        let scratch = Scratch::new().unwrap();
        let write = |path: &str, text: &str| {
            let path = scratch.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        assert_eq!(lowest_priority_below(scratch.path()), None);
        write("10/comm", "bumplessd\n");
        write("10/task/10/stat", &stat(0));
        assert_eq!(lowest_priority_below(scratch.path()), None, "it runs without real time");
        for (path, priority) in [("10/task/11", 70), ("10/task/12", 60), ("20/task/20", 5)] {
            write(&format!("{path}/stat"), &stat(priority));
        }
        write("20/comm", "bumplessd-not\n");
        write("self/comm", "bumplessd\n");
        write("self/task/1/stat", &stat(1));
        write("30/comm", "bumplessd\n");
        write("30/task/30/stat", "nonsense");
        assert_eq!(lowest_priority_below(scratch.path()), Some(60));
    }

    #[test]
    fn the_field_is_the_kernel_s() {
        let own = fs::read_to_string("/proc/thread-self/stat").unwrap();
        assert_eq!(priority(&own), Some(0));
    }
}
