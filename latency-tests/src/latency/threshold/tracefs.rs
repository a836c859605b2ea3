//! The files by which the kernel's trace is marked and stopped, open before they are needed.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;

use nix::errno::Errno;
use nix::unistd::write;
use rt_core::time::Duration;
use tools::exit::Failure;

use super::trigger::Event;

/// Where it is mounted: its own place, and the one of old.
const PLACES: [&str; 2] = ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"];
/// The line in the trace, at most.
const LINE_OCTETS: usize = 160;

/// The files.
#[derive(Debug)]
pub(super) struct Files {
    marker: File,
    switch: File,
}

impl Files {
    /// Opens them, of the trace or of one of its instances. Changes nothing.
    pub(super) fn open(instance: Option<&str>) -> Result<Self, Failure> {
        let place = PLACES.iter().map(Path::new).find(|it| it.join("tracing_on").exists());
        let place = place.ok_or_else(|| not_there(PLACES[0]))?;
        let folder = match instance {
            Some(name) => place.join("instances").join(name),
            None => place.to_owned(),
        };
        if !folder.is_dir() {
            return Err(Failure::usage(
                format!("--on-threshold trace: there is no trace instance {}", folder.display()),
                format!("make it: mkdir {}", folder.display()),
            ));
        }
        let open = |name: &str| {
            let path = folder.join(name);
            let file = OpenOptions::new().write(true).open(&path);
            file.map_err(|error| not_opened(&path, &error))
        };
        Ok(Self { marker: open("trace_marker")?, switch: open("tracing_on")? })
    }

    /// Writes what happened into the trace and stops it. Real-time class: two system calls that do
    /// not block; no allocation.
    pub(super) fn stop(&self, event: &Event, threshold: Duration) -> Result<(), Errno> {
        let mut line = [0; LINE_OCTETS];
        let octets = mark(&mut line, event, threshold);
        let marked = write(&self.marker, &line[..octets]);
        // Stopped also where the mark failed.
        write(&self.switch, b"0")?;
        marked.map(|_| ())
    }
}

/// Puts the line into `line`; how long it is.
fn mark(line: &mut [u8; LINE_OCTETS], event: &Event, threshold: Duration) -> usize {
    let mut rest = line.as_mut_slice();
    // Cannot be too long: the numbers have 20 digits at most. If it were, its begin is written.
    let _ = writeln!(
        rest,
        "bumpless-latency: CPU {} late by {} ns, more than {} ns; planned for {} ns",
        event.cpu,
        event.late.as_nanos(),
        threshold.as_nanos(),
        event.planned.as_nanos(),
    );
    LINE_OCTETS - rest.len()
}

fn not_there(place: &str) -> Failure {
    Failure::missing(
        format!("--on-threshold trace: the kernel's trace is not mounted at {place}"),
        format!("as root: mount -t tracefs tracefs {place}"),
    )
}

fn not_opened(path: &Path, error: &io::Error) -> Failure {
    let message = format!("--on-threshold trace: {}: {error}", path.display());
    match error.kind() {
        io::ErrorKind::PermissionDenied => Failure::missing(
            message,
            "run as root, or have root give your group the folder: mount -o remount,gid=GROUP",
        ),
        _ => Failure::missing(message, "does the kernel have CONFIG_TRACING?"),
    }
}

#[cfg(test)]
mod tests {
    use rt_core::time::Instant;

    use super::*;

    #[test]
    fn the_longest_line_fits() {
        let most = u64::MAX;
        let event = Event {
            cpu: usize::MAX,
            late: Duration::from_nanos(most),
            planned: Instant::from_nanos(most),
        };
        let mut line = [0; LINE_OCTETS];
        let octets = mark(&mut line, &event, Duration::from_nanos(most));
        assert!(octets < LINE_OCTETS);
        assert!(line[..octets].ends_with(b" ns\n"));
    }
}
