//! No deep sleep states while we run.
//!
//! A CPU that idles deeply takes up to hundreds of microseconds to wake. `/dev/cpu_dma_latency`
//! asks the kernel to use only states that are left within a given time, on all CPUs, as long as
//! the file is open. (Per-CPU limits exist in `cpuN/power/pm_qos_resume_latency_us`; they outlive a
//! crash, this request does not.)

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

const DEVICE: &str = "/dev/cpu_dma_latency";

/// A request to the kernel that lasts as long as this value.
#[derive(Debug)]
pub struct DmaLatency {
    microseconds: u32,
    // Closing it withdraws the request.
    _file: File,
}

/// Why the request could not be made.
#[derive(Debug, thiserror::Error)]
pub enum DmaLatencyError {
    /// The file is not there.
    #[error("{}: not there: the kernel has no CONFIG_CPU_IDLE, or the container has no such device \
             (docker: `--device /dev/cpu_dma_latency`)", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// The file may not be opened.
    #[error("{}: permission denied; run as root, or give a udev rule such as \
             `KERNEL==\"cpu_dma_latency\", GROUP=\"realtime\", MODE=\"0660\"`", path.display())]
    Denied {
        /// The file.
        path: PathBuf,
    },
    /// More than the kernel takes (2,147 s).
    #[error("a latency of {0} µs is more than the kernel takes")]
    Value(u32),
    /// Anything else.
    #[error("{}: {source}", path.display())]
    Other {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl DmaLatency {
    /// Asks for wake-ups from idle within `microseconds`; 0 keeps the CPUs from idling beyond
    /// polling, and takes power accordingly. Not for a real-time thread.
    ///
    /// # Errors
    /// See [`DmaLatencyError`].
    pub fn hold(microseconds: u32) -> Result<Self, DmaLatencyError> {
        Self::hold_at(Path::new(DEVICE), microseconds)
    }

    /// What was asked for.
    #[must_use]
    pub const fn microseconds(&self) -> u32 {
        self.microseconds
    }

    fn hold_at(path: &Path, microseconds: u32) -> Result<Self, DmaLatencyError> {
        let value =
            i32::try_from(microseconds).map_err(|_| DmaLatencyError::Value(microseconds))?;
        let fault = |source: io::Error| {
            let path = path.to_path_buf();
            match source.kind() {
                io::ErrorKind::NotFound => DmaLatencyError::Missing { path },
                io::ErrorKind::PermissionDenied => DmaLatencyError::Denied { path },
                _ => DmaLatencyError::Other { path, source },
            }
        };
        let mut file = OpenOptions::new().write(true).open(path).map_err(fault)?;
        file.write_all(&value.to_ne_bytes()).map_err(fault)?;
        Ok(Self { microseconds, _file: file })
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    /// The limit that is in force, over the requests of all processes.
    fn in_force() -> i32 {
        let mut octets = [0; 4];
        File::open(DEVICE).unwrap().read_exact(&mut octets).unwrap();
        i32::from_ne_bytes(octets)
    }

    #[test]
    fn the_request_is_in_force_as_long_as_it_is_held() {
        let held = match DmaLatency::hold(17) {
            Err(reason @ (DmaLatencyError::Missing { .. } | DmaLatencyError::Denied { .. })) => {
                println!("SKIP: the_request_is_in_force_as_long_as_it_is_held: {reason}");
                return;
            }
            held => held.unwrap(),
        };
        assert_eq!(held.microseconds(), 17);
        // Another process may hold a stricter one meanwhile.
        assert!(in_force() <= 17);
    }

    #[test]
    fn a_missing_device_and_a_wrong_value_are_told() {
        let error = DmaLatency::hold_at(Path::new("/nonexistent/latency"), 0).unwrap_err();
        assert!(matches!(error, DmaLatencyError::Missing { .. }));
        assert!(error.to_string().contains("/nonexistent/latency"), "{error}");
        assert!(matches!(DmaLatency::hold(u32::MAX), Err(DmaLatencyError::Value(_))));
        let error = DmaLatency::hold_at(Path::new("/"), 0).unwrap_err();
        assert!(matches!(error, DmaLatencyError::Other { .. }), "{error}");
    }
}
