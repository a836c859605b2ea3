//! How a machine is suspended to its memory (ACPI S3) and woken from outside.
//!
//! Its shares are given back before and taken up again behind it ([`super::own_root`] says why).
//! `s2idle` and its wake-up by a timer or a button were rejected: no device loses power, and nobody
//! outside can see that the machine sleeps.

use std::thread::sleep;
use std::time::Duration;

use serde_json::json;

use super::LabError;
use super::emulator::Emulator;
use super::guest::{Background, Guest};
use crate::os::clock;

/// How long a machine may take to fall asleep, and to wake up.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often it is asked whether it sleeps.
const LOOK: Duration = Duration::from_millis(10);

/// How often an emulator is given time to throw away what came for a machine that slept.
const DRAINS: u32 = 100;

/// Nobody may use `/run/out`. The driver of the shares cannot take them through a suspension.
const BEFORE: &str = "
    umount /run/out
    cd /sys/bus/virtio/drivers/9pnet_virtio
    for share in virtio*; do echo $share > unbind; done
    echo deep > /sys/power/mem_sleep";
/// Returns when the machine is awake again.
const SLEEP: &str = "echo mem > /sys/power/state";
/// A virtio device of the kind 9 is a share.
const AFTER: &str = "
    cd /sys/bus/virtio/devices
    for device in *; do
        [ \"$(cat $device/device)\" != 0x0009 ] || echo $device > ../drivers/9pnet_virtio/bind
    done
    mount -t 9p -o trans=virtio,version=9p2000.L,msize=512000,rw,cache=none out /run/out";

/// A machine's sleep: what put it there.
#[derive(Debug)]
pub(super) struct Sleep(Background);

impl Sleep {
    /// Suspends the machine, and waits until the emulator says that it sleeps.
    pub(super) fn begin(emulator: &mut Emulator, guest: &Guest) -> Result<Self, LabError> {
        guest.shell(BEFORE)?;
        let command = guest.start(&["sh", "-c", SLEEP], false)?;
        let start = clock::now();
        while !emulator.is_suspended()? {
            let waited = Duration::from_nanos(clock::now().since(start).as_nanos());
            if waited > PATIENCE {
                let ended = command.wait(Duration::ZERO)?;
                let said = ended.err.trim_end();
                let what = format!("it does not sleep after {waited:?}, {}: {said}", ended.status);
                return Err(LabError::Program(what));
            }
            sleep(LOOK);
        }
        Ok(Self(command))
    }

    /// Wakes the machine, whose cards are not connected, and waits until programs run in it again.
    pub(super) fn end(self, emulator: &mut Emulator) -> Result<(), LabError> {
        emulator.execute("system_wakeup", &json!({}))?;
        let ended = self.0.wait(PATIENCE)?;
        if ended.status.success() {
            return drain(emulator);
        }
        let said = ended.err.trim_end();
        let what = format!("it slept and woke, but not as it should, {}: {said}", ended.status);
        Err(LabError::Program(what))
    }
}

/// What was sent to it meanwhile waits in front of its cards, a megabyte on each LAN at the most.
/// As long as they are not connected the emulator throws it away: a piece of 64 KiB, if there is
/// one, for each time that it answers.
fn drain(emulator: &mut Emulator) -> Result<(), LabError> {
    for _ in 0..DRAINS {
        emulator.is_suspended()?;
        sleep(LOOK / 10);
    }
    Ok(())
}

/// Gives a machine that has slept its shares again.
pub(super) fn take_up_shares(guest: &Guest) -> Result<(), LabError> {
    guest.shell(AFTER).map(drop)
}
