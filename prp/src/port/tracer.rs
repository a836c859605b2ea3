//! A wrapper that shows every frame to a function on its way in or out.

use super::{Port, PortFault, PortStatistics};

/// Which way a frame goes, as seen from the port's user.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Direction {
    /// It was received.
    In,
    /// It was given to the port for transmission.
    Out,
}

/// A port that calls `F` with each frame. It is as real-time as `F` is.
#[derive(Debug)]
pub struct Tracer<P, F> {
    port: P,
    trace: F,
}

impl<P: Port, F: FnMut(Direction, &[u8])> Tracer<P, F> {
    /// Wraps `port`. `trace` is called before a received frame is handed on, and after an outgoing
    /// frame was filled in; whether the kernel then takes it is not known yet.
    pub fn new(port: P, trace: F) -> Self {
        Self { port, trace }
    }

    /// The port inside.
    pub fn inner_mut(&mut self) -> &mut P {
        &mut self.port
    }

    /// Unwraps the port.
    pub fn into_inner(self) -> P {
        self.port
    }
}

impl<P: Port, T: FnMut(Direction, &[u8])> Port for Tracer<P, T> {
    fn receive<F: FnMut(&[u8])>(&mut self, budget: usize, mut sink: F) -> Result<usize, PortFault> {
        let trace = &mut self.trace;
        self.port.receive(budget, |frame| {
            trace(Direction::In, frame);
            sink(frame);
        })
    }

    fn transmit<F: FnOnce(&mut [u8])>(&mut self, len: usize, fill: F) -> Result<(), PortFault> {
        let trace = &mut self.trace;
        self.port.transmit(len, |frame| {
            fill(frame);
            trace(Direction::Out, frame);
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

    #[test]
    fn each_frame_is_shown_once_with_its_direction() {
        let mut seen = Vec::new();
        let mut port = Tracer::new(MemoryPort::<4>::new(), |direction, frame: &[u8]| {
            seen.push((direction, frame.to_vec()));
        });
        port.transmit(60, |frame| frame.fill(1)).unwrap();
        assert_eq!(port.transmit(4_000, |frame| frame.fill(3)), Err(PortFault::TooLong));
        port.flush().unwrap();
        port.inner_mut().arrive(&[2; 64]);
        let mut handed_on = 0;
        port.receive(8, |frame| handed_on += frame.len()).unwrap();
        assert_eq!(handed_on, 64);
        assert_eq!(seen, [(Direction::Out, vec![1; 60]), (Direction::In, vec![2; 64])]);
    }
}
