//! Reception from one queue of an interface through AF_XDP.
//!
//! Every chunk is in one of three places: in the fill ring or the kernel's hands, in the receive
//! ring, or here while its frame is looked at. There are as many entries in either ring as chunks,
//! so neither is ever too short, and what is lost is lost because all chunks are full of frames.
//!
//! A frame comes as it stood on the wire, VLAN tags in place, as long as nobody took the tag out
//! before (see `super::xdp_lan`). Nothing tells that a sender on this machine left its checksum
//! open, so the frame itself is asked ([`checksum::complete_if_open`]).

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use super::checksum;
use super::socket;
use super::xdp_ring::XdpRing;
use super::xdp_socket::{Copying, XdpSocket};
use super::xdp_umem::Chunks;
use crate::port::{FRAME_OCTETS_MIN, PortStatistics};

#[derive(Debug)]
pub(super) struct XdpQueue {
    socket: Arc<OwnedFd>,
    chunks: Chunks,
    fill: XdpRing<u64>,
    receive: XdpRing<libc::xdp_desc>,
    copying: Copying,
    filled: u32,
    consumed: u32,
    statistics: PortStatistics,
    /// Losses by the kernel's count, which only rises.
    lost: u64,
}

impl XdpQueue {
    /// `fill` and `receive` have as many entries as there are chunks. Nothing arrives before the
    /// XDP program knows the socket.
    pub(super) fn new(
        socket: &XdpSocket,
        chunks: Chunks,
        mut fill: XdpRing<u64>,
        receive: XdpRing<libc::xdp_desc>,
        copying: Copying,
    ) -> Self {
        let filled = chunks.count();
        for index in 0..filled {
            fill.write(index, chunks.address(index));
        }
        fill.publish(filled);
        Self {
            socket: socket.share(),
            chunks,
            fill,
            receive,
            copying,
            filled,
            consumed: 0,
            statistics: PortStatistics::default(),
            lost: 0,
        }
    }

    pub(super) fn socket(&self) -> BorrowedFd<'_> {
        (*self.socket).as_fd()
    }

    /// Hands over at most `budget` frames; returns how many it took off the ring.
    pub(super) fn receive<F: FnMut(&[u8])>(&mut self, budget: usize, sink: &mut F) -> usize {
        let budget = u32::try_from(budget).unwrap_or(u32::MAX);
        let waiting = self.receive.producer().wrapping_sub(self.consumed);
        let taken = waiting.min(self.chunks.count()).min(budget);
        for _ in 0..taken {
            let entry = self.receive.read(self.consumed);
            self.consumed = self.consumed.wrapping_add(1);
            self.hand_over(entry, sink);
        }
        if taken > 0 {
            self.receive.release(self.consumed);
            self.fill.publish(self.filled);
        }
        if self.copying == Copying::Zero && self.fill.needs_wakeup() {
            socket::kick_fill(self.socket());
        }
        taken as usize
    }

    fn hand_over<F: FnMut(&[u8])>(&mut self, entry: libc::xdp_desc, sink: &mut F) {
        let Some(index) = self.chunks.index(entry.addr) else {
            // Nothing that a kernel writes: whose chunk it is, is not known.
            self.statistics.rx_dropped += 1;
            return;
        };
        if entry.options & libc::XDP_PKT_CONTD != 0 {
            self.statistics.rx_merged += 1;
        } else {
            let frame = self.chunks.octets(entry.addr, entry.len);
            match frame.filter(|frame| frame.len() >= FRAME_OCTETS_MIN) {
                Some(frame) => {
                    let completed = checksum::complete_if_open(frame);
                    sink(frame);
                    self.statistics.rx_frames += 1;
                    self.statistics.rx_checksums_completed += u64::from(completed);
                }
                None => self.statistics.rx_dropped += 1,
            }
        }
        // The frame was last used above. The kernel sees the entry once it is published.
        self.fill.write(self.filled, self.chunks.address(index));
        self.filled = self.filled.wrapping_add(1);
    }

    /// Reads the kernel's count of lost frames.
    ///
    /// Real-time class: one short system call.
    pub(super) fn refresh_statistics(&mut self) {
        let (level, name) = (libc::SOL_XDP, libc::XDP_STATISTICS);
        let answer = socket::get_option::<libc::xdp_statistics>(self.socket(), level, name);
        if let Ok(now) = answer {
            // A frame that found no chunk is counted as dropped and as an empty fill ring: once
            // is enough.
            self.lost = now.rx_dropped.saturating_add(now.rx_ring_full);
        }
    }

    pub(super) fn statistics(&self) -> PortStatistics {
        PortStatistics { rx_dropped: self.statistics.rx_dropped + self.lost, ..self.statistics }
    }
}
