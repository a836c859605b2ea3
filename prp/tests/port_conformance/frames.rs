//! Test frames that prove that they are whole, and waiting for them.

use std::time::Duration;

use prp::port::{Port, PortFault};

const SOURCE: [u8; 6] = [0x02, 0, 0, 0, 0, 0x51];
const TEST_ETHERTYPE: [u8; 2] = [0x88, 0xb5];
/// Waits are at most this many rounds of 1 ms; a frame takes microseconds.
const ROUNDS_MAX: usize = 5_000;

/// What stands between the addresses and the EtherType.
pub(crate) type Tags = &'static [u8];
pub(crate) const UNTAGGED: Tags = &[];
pub(crate) const TAG_C: Tags = &[0x81, 0x00, 0xa0, 0x64];
pub(crate) const TAG_PRIORITY: Tags = &[0x81, 0x00, 0x00, 0x00];
pub(crate) const TAG_S: Tags = &[0x88, 0xa8, 0x00, 0x07];
pub(crate) const TAGS_DOUBLE: Tags = &[0x88, 0xa8, 0x0f, 0xff, 0x81, 0x00, 0x20, 0x01];

/// A frame of `octets` octets whose content follows from its number.
pub(crate) fn frame(number: u32, octets: usize, tags: Tags) -> Vec<u8> {
    let mut frame = [&[0x02, 0, 0, 0, 0, 0x52], &SOURCE, tags, &TEST_ETHERTYPE].concat();
    frame.extend_from_slice(&number.to_be_bytes());
    let seed = number.wrapping_mul(2_654_435_761);
    while frame.len() < octets {
        let at = u32::try_from(frame.len()).unwrap();
        frame.push(seed.wrapping_add(at.wrapping_mul(at)).to_be_bytes()[1]);
    }
    frame
}

/// Whether the frame is one of ours and not the stack's own chatter.
pub(crate) fn is_ours(frame: &[u8]) -> bool {
    frame.len() >= 18 && frame[6..12] == SOURCE
}

/// Gives a frame to the port.
pub(crate) fn transmit(port: &mut impl Port, frame: &[u8]) -> Result<(), PortFault> {
    port.transmit(frame.len(), |buffer| buffer.copy_from_slice(frame))
}

/// Waits up to a bound until `done` says so.
pub(crate) fn wait_until(mut done: impl FnMut() -> bool) -> bool {
    for _ in 0..ROUNDS_MAX {
        if done() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    false
}
