//! What stands behind a handle, and who may make which call now.
//!
//! The order of questions is that of the errors: is it a handle, is this the process that made it,
//! is it the phase, is it the thread, is nobody else inside. Each is a load or an exchange.
//!
//! What any thread may ask (role, facts of regions) stands beside what one thread at a time uses,
//! never within it: an observer must not make a cyclic call fail.

use std::ffi::c_int;
use std::sync::atomic::{AtomicI32, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering};

use super::call::{Outcome, bounded};
use super::code::{
    self, BMPL_E_BUSY, BMPL_E_FORKED, BMPL_E_HANDLE, BMPL_E_PHASE, BMPL_E_THREAD, BMPL_OK,
};
use super::detail::{Code, Detail};
use super::facts::Facts;
use super::live::Live;
use super::setup::Configured;
use super::table::{Table, Visit};
use super::turn::Turn;
use super::types::Handle;
use crate::os::participant::Participant;

/// Every handle of this process.
static TABLE: Table<Entry> = Table::new();

/// The participants of those that are active, for threads that only look.
static PARTICIPANTS: Table<Participant> = Table::new();

/// How often this process is a fork of one that had loaded the library.
static FORKS: AtomicU32 = AtomicU32::new(0);

/// Where a handle is on its way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(super) enum Phase {
    Configuring,
    Active,
    Ended,
}

/// What one thread at a time uses.
#[derive(Debug)]
pub(super) enum Stage {
    Configuring(Box<Configured>),
    Active(Box<Live>),
    Ended,
}

#[derive(Debug)]
pub(super) struct Inside {
    pub(super) stage: Stage,
    says: Detail,
}

/// See the module's text.
#[derive(Debug)]
pub(super) struct Entry {
    forks: u32,
    phase: AtomicU8,
    /// The thread that makes the cyclic calls, by its number; zero before the first.
    cyclic_thread: AtomicU64,
    /// The last error, and what was said about it.
    last: AtomicI32,
    detail: Turn<Detail>,
    inside: Turn<Inside>,
    pub(super) facts: Facts,
    /// Its number among [`PARTICIPANTS`]; zero while it is not active.
    participant: AtomicUsize,
}

impl Entry {
    /// The participant, while it is active. Real-time class: one addition.
    pub(super) fn participant(&self) -> Option<Visit<'static, Participant>> {
        PARTICIPANTS.enter(self.participant.load(Ordering::Acquire))
    }

    /// Lets other threads look at the participant.
    pub(super) fn show(&self, participant: Participant) {
        // There are as many places as there are handles.
        if let Ok(number) = PARTICIPANTS.insert(participant) {
            self.participant.store(number, Ordering::Release);
        }
    }

    /// Takes the participant back, if there is one, when nobody looks at it any more.
    pub(super) fn hide(&self) -> Option<Participant> {
        PARTICIPANTS.remove(self.participant.swap(0, Ordering::AcqRel))
    }

    fn is_in(&self, phase: Phase) -> bool {
        self.phase.load(Ordering::Acquire) == phase as u8
    }

    /// Changes the phase. Thread: one that is inside.
    pub(super) fn enter_phase(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::Release);
        self.release_thread();
    }

    /// Whichever thread makes the next cyclic call makes all that follow.
    pub(super) fn release_thread(&self) {
        self.cyclic_thread.store(0, Ordering::Release);
    }

    /// Binds the cyclic calls to the calling thread, if they are nobody's yet.
    fn is_cyclic_thread(&self) -> bool {
        // SAFETY: it takes nothing and cannot fail; a number that no other living thread has.
        let this = unsafe { libc::pthread_self() };
        let bound = self.cyclic_thread.load(Ordering::Relaxed);
        let order = Ordering::Relaxed;
        bound == this
            || bound == 0 && self.cyclic_thread.compare_exchange(0, this, order, order).is_ok()
    }

    /// Remembers what went wrong. One who finds it being read keeps the code alone.
    fn remember(&self, code: Code, says: &Detail) {
        self.last.store(code.number(), Ordering::Relaxed);
        if let Some(mut detail) = self.detail.take() {
            detail.copy_from(says);
        }
    }

    fn remembered(&self, code: Code) -> c_int {
        self.remember(code, &Detail::new());
        code.number()
    }

    /// What went wrong last, in words.
    pub(super) fn last_detail(&self) -> String {
        let code = self.last.load(Ordering::Relaxed);
        let detail = self.detail.take().map(|detail| detail.text().to_owned());
        match detail {
            _ if code == BMPL_OK => String::new(),
            Some(text) if !text.is_empty() => text,
            _ => code::text(code).to_string_lossy().into_owned(),
        }
    }

    /// Runs a call that is inside.
    fn run(&self, call: impl FnOnce(&Self, &mut Stage, &mut Detail) -> Outcome) -> c_int {
        let Some(mut inside) = self.inside.take() else {
            return self.remembered(Code::plain(BMPL_E_BUSY));
        };
        let Inside { stage, says } = &mut *inside;
        match call(self, stage, says) {
            Ok(number) => number,
            Err(code) => {
                self.remember(code, says);
                says.clear();
                code.number()
            }
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        drop(self.hide());
    }
}

/// Makes a handle for what was configured; none where there are too many.
pub(super) fn insert(configured: Box<Configured>) -> Option<*mut Handle> {
    watch_forks();
    let entry = Entry {
        forks: FORKS.load(Ordering::Relaxed),
        phase: AtomicU8::new(Phase::Configuring as u8),
        cyclic_thread: AtomicU64::new(0),
        last: AtomicI32::new(BMPL_OK),
        detail: Turn::new(Detail::new()),
        inside: Turn::new(Inside { stage: Stage::Configuring(configured), says: Detail::new() }),
        facts: Facts::new(),
        participant: AtomicUsize::new(0),
    };
    let handle = TABLE.insert(entry).ok()?;
    Some(std::ptr::without_provenance_mut(handle))
}

/// Counts the forks of this process.
fn watch_forks() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    extern "C" fn in_the_child() {
        FORKS.fetch_add(1, Ordering::Relaxed);
    }
    ONCE.call_once(|| {
        // SAFETY: the function stays loaded (the library is never unloaded) and does one addition.
        let registered = unsafe { libc::pthread_atfork(None, None, Some(in_the_child)) };
        debug_assert_eq!(registered, 0, "there is memory for one entry");
    });
}

fn enter(handle: *const Handle) -> Result<Visit<'static, Entry>, c_int> {
    let visit = TABLE.enter(handle.addr()).ok_or(BMPL_E_HANDLE)?;
    if visit.forks != FORKS.load(Ordering::Relaxed) {
        return Err(BMPL_E_FORKED);
    }
    Ok(visit)
}

/// Runs a call that configures.
pub(super) fn configure(
    handle: *mut Handle,
    call: impl FnOnce(&Entry, &mut Configured, &mut Detail) -> Outcome,
) -> c_int {
    change(handle, |entry, stage, says| match stage {
        Stage::Configuring(configured) => call(entry, configured, says),
        Stage::Active(_) | Stage::Ended => {
            let text = format_args!("regions are registered before activation");
            Err(says.fault(BMPL_E_PHASE, text))
        }
    })
}

/// Runs a call that changes the phase.
pub(super) fn change(
    handle: *mut Handle,
    call: impl FnOnce(&Entry, &mut Stage, &mut Detail) -> Outcome,
) -> c_int {
    bounded(|| match enter(handle) {
        Ok(entry) => entry.run(call),
        Err(code) => code,
    })
}

/// Runs a cyclic call. Real-time class: four atomic operations beside the call's own work.
pub(super) fn cyclic(
    handle: *mut Handle,
    call: impl FnOnce(&Entry, &mut Live, &mut Detail) -> Outcome,
) -> c_int {
    bounded(|| {
        let entry = match enter(handle) {
            Ok(entry) => entry,
            Err(code) => return code,
        };
        if !entry.is_in(Phase::Active) {
            return entry.remembered(Code::plain(BMPL_E_PHASE));
        }
        if !entry.is_cyclic_thread() {
            return entry.remembered(Code::plain(BMPL_E_THREAD));
        }
        entry.run(|entry, stage, says| match stage {
            Stage::Active(live) => call(entry, live, says),
            Stage::Configuring(_) | Stage::Ended => Err(Code::plain(BMPL_E_PHASE)),
        })
    })
}

/// Runs a call of any thread: it uses nothing that a cyclic call uses.
pub(super) fn observe(
    handle: *const Handle,
    call: impl FnOnce(&Entry, &mut Detail) -> Outcome,
) -> c_int {
    bounded(|| {
        let entry = match enter(handle) {
            Ok(entry) => entry,
            Err(code) => return code,
        };
        let mut says = Detail::new();
        call(&entry, &mut says).unwrap_or_else(|code| {
            entry.remember(code, &says);
            code.number()
        })
    })
}

/// Takes a handle back.
pub(super) fn remove(handle: *mut Handle) -> c_int {
    bounded(|| {
        if let Err(code) = enter(handle) {
            return code;
        }
        // Two who destroy it at once: one does, the other has no handle any more.
        TABLE.remove(handle.addr()).map_or(BMPL_E_HANDLE, |_gone| BMPL_OK)
    })
}
