//! A TAP interface: what the host sends on it comes here, what is written here the host receives.
//!
//! Without offloads asked for, the stack completes checksums and splits long segments before a
//! frame comes here, and VLAN tags are in place: nothing has to be repaired. One system call per
//! frame is the price; io_uring was measured slower, not faster.

use std::ffi::CString;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;

use libc::{c_char, c_int, c_short};
use nix::errno::Errno;

use super::open_error::{OpenError, fault_of};
use super::socket;
use crate::port::{FRAME_OCTETS_MAX, FRAME_OCTETS_MIN, Port, PortFault, PortStatistics, TOO_SHORT};

const DEVICE: &str = "/dev/net/tun";

mod ioctl {
    //! Typed by nix; the numbers are libc's.
    nix::ioctl_write_ptr_bad!(set_interface, libc::TUNSETIFF, libc::ifreq);
    nix::ioctl_write_int_bad!(set_persist, libc::TUNSETPERSIST);
    nix::ioctl_write_int_bad!(set_offload, libc::TUNSETOFFLOAD);
    nix::ioctl_write_ptr_bad!(set_carrier, libc::TUNSETCARRIER, libc::c_int);
    nix::ioctl_read_bad!(interface, libc::TUNGETIFF, libc::ifreq);
}

/// A TAP interface that this process holds.
#[derive(Debug)]
pub struct Tap {
    device: File,
    name: String,
    interface_index: u32,
    /// One octet more than a frame may have, so that one that is too long is told from one that
    /// just fits.
    inbound: Box<[u8; FRAME_OCTETS_MAX + 1]>,
    outbound: Box<[u8; FRAME_OCTETS_MAX]>,
    statistics: PortStatistics,
}

impl Tap {
    /// Creates the TAP interface `name`, or takes over one that exists and that nobody holds, in
    /// the calling thread's network namespace. It carries nothing before it is up.
    ///
    /// # Errors
    /// [`OpenError::Name`]; [`OpenError::Taken`] when the name belongs to another kind of
    /// interface or is held by another process; [`OpenError::NotPermitted`]; others as the system
    /// says.
    pub fn open(name: &str) -> Result<Self, OpenError> {
        let request = request(name)?;
        let device = File::options()
            .read(true)
            .write(true)
            .custom_flags(libc::O_NONBLOCK)
            .open(DEVICE)
            .map_err(|error| refuse("open /dev/net/tun", io_errno(&error)))?;
        // SAFETY: the request lives over the call and is what this ioctl takes.
        let result = unsafe { ioctl::set_interface(device.as_raw_fd(), &raw const request) };
        result.map_err(|errno| match errno {
            Errno::EBUSY => {
                OpenError::Taken { name: name.to_owned(), obstacle: "held by another process" }
            }
            Errno::EINVAL => OpenError::Taken { name: name.to_owned(), obstacle: "no TAP" },
            errno => refuse("create TAP interface", errno),
        })?;
        // Whoever held the interface before may have asked for offloads.
        // SAFETY: a number.
        let result = unsafe { ioctl::set_offload(device.as_raw_fd(), 0) };
        result.map_err(|errno| refuse("switch TAP offloads off", errno))?;
        let interface_index = nix::net::if_::if_nametoindex(name)
            .map_err(|errno| refuse("find TAP interface's index", errno))?;
        Ok(Self {
            device,
            name: name.to_owned(),
            interface_index,
            inbound: Box::new([0; FRAME_OCTETS_MAX + 1]),
            outbound: Box::new([0; FRAME_OCTETS_MAX]),
            statistics: PortStatistics::default(),
        })
    }

    /// The interface's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The interface's index.
    #[must_use]
    pub fn interface_index(&self) -> u32 {
        self.interface_index
    }

    /// Whether the interface outlives this process. Not for a real-time thread.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn set_persistent(&self, persistent: bool) -> Result<(), OpenError> {
        set_persistent(&self.device, persistent)
    }

    /// Fills the buffer of this port and writes it.
    fn fill_and_write<F: FnOnce(&mut [u8])>(
        &mut self,
        len: usize,
        fill: F,
    ) -> Result<(), PortFault> {
        let frame = self.outbound.get_mut(..len).ok_or(PortFault::TooLong)?;
        if len < FRAME_OCTETS_MIN {
            return Err(TOO_SHORT);
        }
        fill(frame);
        write(&mut self.device, frame)
    }

    fn count(&mut self, result: Result<(), PortFault>) -> Result<(), PortFault> {
        match result {
            Ok(()) => self.statistics.tx_frames += 1,
            Err(_) => self.statistics.tx_dropped += 1,
        }
        result
    }

    /// A second handle, for the thread that minds the interface while another one reads it.
    ///
    /// # Errors
    /// [`OpenError`]: the process is out of descriptors.
    pub fn control(&self) -> Result<TapControl, OpenError> {
        let device = self.device.try_clone();
        let device = device.map_err(|error| refuse("duplicate TAP handle", io_errno(&error)))?;
        Ok(TapControl { device })
    }
}

/// What can be said of a TAP interface beside its traffic. Not for a real-time thread.
#[derive(Debug)]
pub struct TapControl {
    device: File,
}

impl TapControl {
    /// Whether the interface has a carrier, as the host sees it.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn set_carrier(&self, carrier: bool) -> Result<(), OpenError> {
        let value = c_int::from(carrier);
        // SAFETY: the value lives over the call and is what this ioctl takes.
        let result = unsafe { ioctl::set_carrier(self.device.as_raw_fd(), &raw const value) };
        result.map(drop).map_err(|errno| refuse("set TAP carrier", errno))
    }

    /// See [`Tap::set_persistent`].
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn set_persistent(&self, persistent: bool) -> Result<(), OpenError> {
        set_persistent(&self.device, persistent)
    }

    /// Whether the interface is there, in whichever network namespace.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn is_there(&self) -> Result<bool, OpenError> {
        let mut answer = no_request();
        let answer_ptr: *mut libc::ifreq = &raw mut answer;
        // SAFETY: the answer lives over the call and is what this ioctl writes.
        match unsafe { ioctl::interface(self.device.as_raw_fd(), answer_ptr) } {
            Ok(_) => Ok(true),
            Err(Errno::EBADFD) => Ok(false),
            Err(errno) => Err(refuse("ask for the TAP interface", errno)),
        }
    }
}

fn set_persistent(device: &File, persistent: bool) -> Result<(), OpenError> {
    // SAFETY: a number.
    let result = unsafe { ioctl::set_persist(device.as_raw_fd(), c_int::from(persistent)) };
    result.map(drop).map_err(|errno| refuse("make TAP interface persistent", errno))
}

/// A TAP takes a frame whole or not at all.
fn write(device: &mut File, frame: &[u8]) -> Result<(), PortFault> {
    device.write_all(frame).map_err(|error| match io_errno(&error) {
        // What a TAP that is down says.
        Errno::EIO => PortFault::Down,
        errno => fault_of(errno),
    })
}

fn no_request() -> libc::ifreq {
    // SAFETY: all zero is a valid `ifreq`: characters and a union of integers.
    unsafe { std::mem::zeroed() }
}

fn request(name: &str) -> Result<libc::ifreq, OpenError> {
    let bad_name = || OpenError::Name { name: name.to_owned() };
    let is_name = (1..libc::IFNAMSIZ).contains(&name.len())
        && name != "."
        && name != ".."
        // '%' would ask the kernel to choose a number.
        && name.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'/' | b':' | b'%'));
    let text = CString::new(name).map_err(|_| bad_name())?;
    if !is_name {
        return Err(bad_name());
    }
    let mut request = no_request();
    for (to, from) in request.ifr_name.iter_mut().zip(text.as_bytes()) {
        *to = c_char::from_ne_bytes([*from]);
    }
    const FLAGS: c_short = socket::narrow(libc::IFF_TAP | libc::IFF_NO_PI).cast_signed();
    request.ifr_ifru.ifru_flags = FLAGS;
    Ok(request)
}

fn io_errno(error: &std::io::Error) -> Errno {
    Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO))
}

fn refuse(operation: &'static str, errno: Errno) -> OpenError {
    match errno {
        Errno::EPERM | Errno::EACCES => {
            let remedy = "needs CAP_NET_ADMIN and access to /dev/net/tun; run as root or grant it";
            OpenError::NotPermitted { operation, remedy }
        }
        errno => OpenError::System { operation, errno },
    }
}

impl Port for Tap {
    /// A TAP that is down is silent: [`PortFault::Down`] comes from [`Port::transmit`] only.
    fn receive<F: FnMut(&[u8])>(&mut self, budget: usize, mut sink: F) -> Result<usize, PortFault> {
        for taken in 0..budget {
            match self.device.read(&mut self.inbound[..]) {
                Ok(octets @ FRAME_OCTETS_MIN..=FRAME_OCTETS_MAX) => {
                    self.statistics.rx_frames += 1;
                    sink(&self.inbound[..octets]);
                }
                Ok(_) => self.statistics.rx_merged += 1,
                Err(error) => {
                    return match io_errno(&error) {
                        Errno::EAGAIN | Errno::EINTR => Ok(taken),
                        // It will be met again.
                        _ if taken > 0 => Ok(taken),
                        errno => Err(fault_of(errno)),
                    };
                }
            }
        }
        Ok(budget)
    }

    /// The frame leaves at once.
    fn transmit<F: FnOnce(&mut [u8])>(&mut self, len: usize, fill: F) -> Result<(), PortFault> {
        let result = self.fill_and_write(len, fill);
        self.count(result)
    }

    fn transmit_frame(&mut self, frame: &[u8]) -> Result<(), PortFault> {
        let result = match frame.len() {
            0..FRAME_OCTETS_MIN => Err(TOO_SHORT),
            FRAME_OCTETS_MIN..=FRAME_OCTETS_MAX => write(&mut self.device, frame),
            _ => Err(PortFault::TooLong),
        };
        self.count(result)
    }

    fn flush(&mut self) -> Result<(), PortFault> {
        Ok(())
    }

    fn statistics(&self) -> PortStatistics {
        self.statistics
    }
}

impl AsFd for Tap {
    /// Readable when frames wait.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.device.as_fd()
    }
}
