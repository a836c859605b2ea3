//! A wrapper that writes every frame to a capture file (pcapng), with nanoseconds and directions.
//!
//! It also captures what AF_XDP sends, which no capture on the interface sees.

use std::io::{self, Write};

use rt_core::time::{Duration, Instant};

use crate::port::{FRAME_OCTETS_MAX, Port, PortFault, PortStatistics};

const SECTION_HEADER: u32 = 0x0a0d_0d0a;
const INTERFACE_DESCRIPTION: u32 = 1;
const ENHANCED_PACKET: u32 = 6;
const BYTE_ORDER_MAGIC: u32 = 0x1a2b_3c4d;
const LINKTYPE_ETHERNET: u16 = 1;
const OPTION_INTERFACE_NAME: u16 = 2;
const OPTION_TIME_RESOLUTION: u16 = 9;
const NANOSECONDS: u8 = 9;
const OPTION_PACKET_FLAGS: u16 = 2;
const FLAG_INBOUND: u32 = 1;
const FLAG_OUTBOUND: u32 = 2;
const INTERFACE_NAME_OCTETS_MAX: usize = 64;
/// Frame, padding, and all fields and options around it.
const BLOCK_OCTETS_MAX: usize = FRAME_OCTETS_MAX + INTERFACE_NAME_OCTETS_MAX + 64;

/// Builds blocks in a buffer of fixed size and writes each with one call.
#[derive(Debug)]
struct BlockWriter<W> {
    writer: W,
    block: Vec<u8>,
    failure: Option<io::Error>,
    frames: u64,
}

impl<W: Write> BlockWriter<W> {
    fn begin(&mut self, kind: u32) {
        self.block.clear();
        self.block.extend_from_slice(&kind.to_ne_bytes());
        self.block.extend_from_slice(&[0; 4]);
    }

    fn option(&mut self, code: u16, value: &[u8]) {
        let len = u16::try_from(value.len()).unwrap_or(0);
        self.block.extend_from_slice(&code.to_ne_bytes());
        self.block.extend_from_slice(&len.to_ne_bytes());
        self.padded(&value[..usize::from(len)]);
    }

    fn padded(&mut self, octets: &[u8]) {
        self.block.extend_from_slice(octets);
        self.block.resize(self.block.len().next_multiple_of(4), 0);
    }

    /// Ends the options if there were some, writes the length at both ends and the block out.
    fn end(&mut self, has_options: bool) -> io::Result<()> {
        if has_options {
            self.block.extend_from_slice(&[0; 4]);
        }
        let len = u32::try_from(self.block.len() + 4).unwrap_or(0).to_ne_bytes();
        self.block[4..8].copy_from_slice(&len);
        self.block.extend_from_slice(&len);
        self.writer.write_all(&self.block)
    }

    fn header(&mut self, interface_name: &str) -> io::Result<()> {
        self.begin(SECTION_HEADER);
        self.block.extend_from_slice(&BYTE_ORDER_MAGIC.to_ne_bytes());
        self.block.extend_from_slice(&1u16.to_ne_bytes());
        self.block.extend_from_slice(&0u16.to_ne_bytes());
        // Length of the section: not known.
        self.block.extend_from_slice(&u64::MAX.to_ne_bytes());
        self.end(false)?;
        self.begin(INTERFACE_DESCRIPTION);
        self.block.extend_from_slice(&LINKTYPE_ETHERNET.to_ne_bytes());
        self.block.extend_from_slice(&[0; 2]);
        // No limit on the length of frames.
        self.block.extend_from_slice(&[0; 4]);
        let name = interface_name.as_bytes();
        self.option(OPTION_INTERFACE_NAME, &name[..name.len().min(INTERFACE_NAME_OCTETS_MAX)]);
        self.option(OPTION_TIME_RESOLUTION, &[NANOSECONDS]);
        self.end(true)
    }

    fn frame(&mut self, nanos: u64, flags: u32, frame: &[u8]) {
        if self.failure.is_some() {
            return;
        }
        let octets = u32::try_from(frame.len()).unwrap_or(0).to_ne_bytes();
        let (high, low) = (nanos >> 32, nanos & 0xffff_ffff);
        self.begin(ENHANCED_PACKET);
        self.block.extend_from_slice(&[0; 4]);
        for half in [high, low] {
            self.block.extend_from_slice(&u32::try_from(half).unwrap_or(0).to_ne_bytes());
        }
        self.block.extend_from_slice(&octets);
        self.block.extend_from_slice(&octets);
        self.padded(frame);
        self.option(OPTION_PACKET_FLAGS, &flags.to_ne_bytes());
        match self.end(true) {
            Ok(()) => self.frames += 1,
            Err(error) => self.failure = Some(error),
        }
    }
}

/// A port whose frames are written to `W`. Real-time class: that of `W`; nothing is allocated.
#[derive(Debug)]
pub struct Pcapng<P, W> {
    port: P,
    blocks: BlockWriter<W>,
    now: Instant,
    unix_offset: Duration,
}

impl<P: Port, W: Write> Pcapng<P, W> {
    /// Wraps `port` and writes the file's head. `unix_offset` is what is added to instants to make
    /// them a time since 1970.
    ///
    /// # Errors
    /// What `writer` says.
    pub fn new(port: P, writer: W, interface: &str, unix_offset: Duration) -> io::Result<Self> {
        let block = Vec::with_capacity(BLOCK_OCTETS_MAX);
        let mut blocks = BlockWriter { writer, block, failure: None, frames: 0 };
        blocks.header(interface)?;
        Ok(Self { port, blocks, now: Instant::ORIGIN, unix_offset })
    }

    /// The time that the next frames are written with.
    pub fn set_now(&mut self, now: Instant) {
        self.now = now;
    }

    /// Frames written.
    #[must_use]
    pub fn frames(&self) -> u64 {
        self.blocks.frames
    }

    /// Why writing stopped, if it did. The port goes on without it.
    #[must_use]
    pub fn failure(&self) -> Option<&io::Error> {
        self.blocks.failure.as_ref()
    }

    /// The port inside.
    pub fn inner_mut(&mut self) -> &mut P {
        &mut self.port
    }

    /// Unwraps the port and the writer.
    pub fn into_parts(self) -> (P, W) {
        (self.port, self.blocks.writer)
    }
}

impl<P: Port, W: Write> Port for Pcapng<P, W> {
    fn receive<F: FnMut(&[u8])>(&mut self, budget: usize, mut sink: F) -> Result<usize, PortFault> {
        let nanos = (self.now + self.unix_offset).as_nanos();
        let blocks = &mut self.blocks;
        self.port.receive(budget, |frame| {
            blocks.frame(nanos, FLAG_INBOUND, frame);
            sink(frame);
        })
    }

    fn transmit<F: FnOnce(&mut [u8])>(&mut self, len: usize, fill: F) -> Result<(), PortFault> {
        let nanos = (self.now + self.unix_offset).as_nanos();
        let blocks = &mut self.blocks;
        self.port.transmit(len, |frame| {
            fill(frame);
            blocks.frame(nanos, FLAG_OUTBOUND, frame);
        })
    }

    fn flush(&mut self) -> Result<(), PortFault> {
        self.port.flush()
    }

    fn statistics(&self) -> PortStatistics {
        self.port.statistics()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::port::memory::MemoryPort;

    fn word(block: &[u8], at: usize) -> u32 {
        u32::from_ne_bytes(block[at..at + 4].try_into().unwrap())
    }

    /// The file taken apart by its own lengths: kind and content of each block.
    fn blocks_of(mut file: &[u8]) -> Vec<(u32, &[u8])> {
        let mut blocks = Vec::new();
        while !file.is_empty() {
            let len = word(file, 4) as usize;
            assert_eq!(len % 4, 0);
            assert_eq!(word(file, len - 4) as usize, len, "the length stands at both ends");
            blocks.push((word(file, 0), &file[8..len - 4]));
            file = &file[len..];
        }
        blocks
    }

    #[test]
    fn a_capture_reads_back() {
        let offset = Duration::from_secs(1_700_000_000);
        let mut port = Pcapng::new(MemoryPort::<4>::new(), Vec::new(), "lan0", offset).unwrap();
        port.set_now(Instant::from_nanos(1_234_567_891));
        port.transmit(61, |frame| frame.fill(7)).unwrap();
        port.inner_mut().arrive(&[9; 64]);
        port.receive(4, |_| ()).unwrap();
        assert_eq!(port.frames(), 2);
        let (_, file) = port.into_parts();
        let blocks = blocks_of(&file);
        let kinds: Vec<u32> = blocks.iter().map(|(kind, _)| *kind).collect();
        assert_eq!(
            kinds,
            [SECTION_HEADER, INTERFACE_DESCRIPTION, ENHANCED_PACKET, ENHANCED_PACKET]
        );
        assert_eq!(word(blocks[0].1, 0), BYTE_ORDER_MAGIC);
        let (interface, out, inbound) = (blocks[1].1, blocks[2].1, blocks[3].1);
        assert_eq!(&interface[8..16], b"\x02\0\x04\0lan0");
        assert_eq!(&interface[16..24], b"\x09\0\x01\0\x09\0\0\0");
        let nanos = (u64::from(word(out, 4)) << 32) | u64::from(word(out, 8));
        assert_eq!(nanos, 1_700_000_001_234_567_891);
        assert_eq!((word(out, 12), word(out, 16)), (61, 61));
        assert_eq!(&out[20..84], [&[7u8; 61][..], &[0; 3]].concat());
        assert_eq!(word(out, 88), FLAG_OUTBOUND);
        assert_eq!(&inbound[20..84], [9u8; 64]);
        assert_eq!(word(inbound, 88), FLAG_INBOUND);
    }

    #[test]
    fn a_writer_that_fails_does_not_stop_the_port() {
        struct FullAfter(usize);
        impl Write for FullAfter {
            fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
                self.0 = self.0.checked_sub(octets.len()).ok_or(io::ErrorKind::StorageFull)?;
                Ok(octets.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let port = MemoryPort::<4>::new();
        let mut port = Pcapng::new(port, FullAfter(200), "lan0", Duration::ZERO).unwrap();
        for _ in 0..3 {
            port.transmit(60, |frame| frame.fill(0)).unwrap();
        }
        port.flush().unwrap();
        assert_eq!(port.statistics().tx_frames, 3);
        assert_eq!(port.frames(), 1);
        assert_eq!(port.failure().map(io::Error::kind), Some(io::ErrorKind::StorageFull));
    }
}
