//! Storing beside everything else: one file after the other, its steps one after the other.

use std::collections::VecDeque;
use std::ffi::CString;
use std::fmt;
use std::fs::File;
use std::io;
use std::mem;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, RawFd};

use io_uring::squeue::{Entry, Flags};
use io_uring::types::{Fd, FsyncFlags};
use io_uring::{IoUring, Probe, opcode};

use super::{CREATE, MODE, new_name};

/// Steps that are handed over at a time.
const ENTRIES: u32 = 4;
/// What may wait; each file of ours waits at most once.
const WAITING_MAX: usize = 1_024;

/// A ring and what it works on.
pub(super) struct Ring {
    ring: IoUring,
    job: Option<Box<Job>>,
    waiting: VecDeque<Box<Job>>,
}

/// A file that is being replaced. In a box: while steps are out, the kernel has pointers into it.
struct Job {
    name: String,
    place: CString,
    new: CString,
    octets: Vec<u8>,
    file: Option<File>,
    stage: Stage,
    /// Steps that are with the kernel.
    out: u32,
    /// What went wrong in this stage first.
    fault: Option<io::Error>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    Opening,
    Writing,
    Naming,
}

/// What a completion speaks of.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u64)]
enum Step {
    Open = 1,
    Write = 2,
    Sync = 3,
    Rename = 4,
    SyncFolder = 5,
}

impl fmt::Debug for Ring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let job = self.job.as_ref().map(|job| (&job.name, job.stage));
        f.debug_struct("Ring").field("job", &job).field("waiting", &self.waiting.len()).finish()
    }
}

impl Ring {
    pub(super) fn new() -> io::Result<Self> {
        let ring = IoUring::new(ENTRIES)?;
        let mut probe = Probe::new();
        ring.submitter().register_probe(&mut probe)?;
        let needed = [
            opcode::OpenAt::CODE,
            opcode::Write::CODE,
            opcode::Fsync::CODE,
            opcode::RenameAt::CODE,
        ];
        if !needed.iter().all(|code| probe.is_supported(*code)) {
            return Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "the kernel is older than 5.11",
            ));
        }
        Ok(Self { ring, job: None, waiting: VecDeque::new() })
    }

    pub(super) fn begin(&mut self, folder: &File, name: &str, octets: Vec<u8>) -> io::Result<()> {
        if self.waiting.len() >= WAITING_MAX {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let job = Job {
            name: name.to_owned(),
            place: CString::new(name)?,
            new: CString::new(new_name(name))?,
            octets,
            file: None,
            stage: Stage::Opening,
            out: 0,
            fault: None,
        };
        self.waiting.push_back(Box::new(job));
        self.start_next(folder);
        Ok(())
    }

    /// Takes note of what is over, and has the next steps made.
    pub(super) fn advance(&mut self, folder: &File, finished: &mut Vec<(String, io::Result<()>)>) {
        let completions: Vec<(u64, i32)> =
            self.ring.completion().map(|entry| (entry.user_data(), entry.result())).collect();
        for (step, result) in completions {
            if let Some(job) = &mut self.job {
                job.take_note(step, result);
            }
        }
        // A job that cannot hand a step over has failed, and the next one is begun.
        while let Some(job) = self.job.take_if(|job| job.out == 0) {
            if let Some(done) = self.step_on(folder, job) {
                finished.push(done);
                self.start_next(folder);
            }
        }
    }

    /// Waits until everything is over.
    pub(super) fn finish(
        &mut self,
        folder: &File,
        finished: &mut Vec<(String, io::Result<()>)>,
    ) -> io::Result<()> {
        loop {
            self.advance(folder, finished);
            if self.job.is_none() {
                return Ok(());
            }
            match self.ring.submit_and_wait(1) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
                _ => {}
            }
        }
    }

    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        // SAFETY: the ring owns the descriptor and lives at least as long as what is returned.
        unsafe { BorrowedFd::borrow_raw(self.ring.as_raw_fd()) }
    }

    fn start_next(&mut self, folder: &File) {
        if self.job.is_some() {
            return;
        }
        if let Some(mut job) = self.waiting.pop_front() {
            let open = opcode::OpenAt::new(Fd(folder.as_raw_fd()), job.new.as_ptr())
                .flags(CREATE | libc::O_CLOEXEC)
                .mode(MODE);
            self.hand_over(&mut job, [open.build().user_data(Step::Open as u64)]);
            self.job = Some(job);
        }
    }

    /// The stage is over: begins the next one, or says how the whole went.
    fn step_on(&mut self, folder: &File, mut job: Box<Job>) -> Option<(String, io::Result<()>)> {
        if let Some(fault) = job.fault.take() {
            return Some((mem::take(&mut job.name), Err(fault)));
        }
        let folder = Fd(folder.as_raw_fd());
        match job.stage {
            Stage::Opening => {
                let file = Fd(job.file.as_ref().map_or(-1, |file| file.as_raw_fd()));
                let length = u32::try_from(job.octets.len()).unwrap_or(u32::MAX);
                let write = opcode::Write::new(file, job.octets.as_ptr(), length).build();
                let sync = opcode::Fsync::new(file).flags(FsyncFlags::DATASYNC).build();
                job.stage = Stage::Writing;
                let steps = [
                    write.flags(Flags::IO_LINK).user_data(Step::Write as u64),
                    sync.user_data(Step::Sync as u64),
                ];
                self.hand_over(&mut job, steps);
            }
            Stage::Writing => {
                let (new, place) = (job.new.as_ptr(), job.place.as_ptr());
                let rename = opcode::RenameAt::new(folder, new, folder, place).build();
                let sync = opcode::Fsync::new(folder).build();
                job.stage = Stage::Naming;
                let steps = [
                    rename.flags(Flags::IO_LINK).user_data(Step::Rename as u64),
                    sync.user_data(Step::SyncFolder as u64),
                ];
                self.hand_over(&mut job, steps);
            }
            Stage::Naming => return Some((mem::take(&mut job.name), Ok(()))),
        }
        self.job = Some(job);
        None
    }

    /// Gives the kernel steps that are made one after the other.
    fn hand_over<const N: usize>(&mut self, job: &mut Job, steps: [Entry; N]) {
        for step in &steps {
            // SAFETY: all that the step points at (names, octets, the file) is in the job, which is
            // in a box, and neither changed nor dropped while steps are out: `Ring` keeps it
            // until they are completed, and leaks it where it is dropped before.
            let pushed = unsafe { self.ring.submission().push(step) };
            if pushed.is_err() {
                job.fault = Some(io::ErrorKind::WouldBlock.into());
                break;
            }
            job.out += 1;
        }
        // What is not taken now is with the next step, or when somebody waits.
        if let Err(error) = self.ring.submit()
            && !matches!(error.raw_os_error(), Some(libc::EINTR | libc::EAGAIN | libc::EBUSY))
        {
            job.fault.get_or_insert(error);
        }
    }
}

impl Job {
    fn take_note(&mut self, step: u64, result: i32) {
        self.out = self.out.saturating_sub(1);
        if result < 0 {
            // Of linked steps the first fault says why; the others are called off.
            let error = io::Error::from_raw_os_error(result.saturating_neg());
            self.fault.get_or_insert(error);
        } else if step == Step::Open as u64 {
            let descriptor: RawFd = result;
            // SAFETY: the kernel has just made the descriptor for us, by this step.
            self.file = Some(unsafe { File::from_raw_fd(descriptor) });
        } else if step == Step::Write as u64 && usize::try_from(result) != Ok(self.octets.len()) {
            self.fault.get_or_insert_with(|| io::ErrorKind::StorageFull.into());
        }
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        // The kernel may still read from it.
        if let Some(job) = self.job.take_if(|job| job.out > 0) {
            mem::forget(job);
        }
    }
}
