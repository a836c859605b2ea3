//! A fault's way into the world, and out of it.

use rt_core::pair::latch::Latch;
use rt_core::pair::role::{Event, Order};
use rt_core::pair::{Mode, NodeId};
use rt_core::time::Duration;

use super::fault::{Fault, Repair};
use super::queue::Happening;
use super::world::World;

impl World {
    /// Something goes wrong.
    pub(super) fn break_it(&mut self, fault: Fault) {
        if self.is_healed {
            return;
        }
        self.faults += 1;
        self.note(|_| format!("fault: {fault:?}"));
        match fault {
            Fault::Crash(node, for_ns) => {
                self.seen.note("crash");
                self.crash(node);
                self.put(for_ns, Happening::Repair(Repair::Start(node)));
            }
            Fault::Power(for_ns) => {
                self.seen.note("loss of power");
                for node in NodeId::ALL {
                    self.crash(node);
                    let repair = Repair::Start(node);
                    self.put(for_ns[node.index()], Happening::Repair(repair));
                }
            }
            Fault::Pause(node, for_ns) => {
                if self.nodes[node.index()].is_up {
                    self.seen.note("pause");
                    self.nodes[node.index()].is_paused = true;
                    self.put(for_ns, Happening::Repair(Repair::Resume(node)));
                }
            }
            Fault::Replay => {
                for (to, path, letter) in self.recorded.clone() {
                    self.deliver_later(to, path, letter);
                }
            }
            Fault::Witness(for_ns) => {
                self.witness_answers = false;
                self.put(for_ns, Happening::Repair(Repair::Witness));
            }
            Fault::WitnessRestart => self.restart_witness(),
            Fault::Latch(latch) => self.power_latch(latch),
            Fault::Fence(for_ns) => {
                self.fence_works = false;
                self.put(for_ns, Happening::Repair(Repair::Fence));
            }
            Fault::Rate(node, fast_ppm) => {
                let now = self.now;
                self.nodes[node.index()].clock.set_rate(now, fast_ppm);
            }
            Fault::Stall(node, for_ns) => {
                self.nodes[node.index()].app_runs = false;
                self.put(for_ns, Happening::Repair(Repair::Stall(node)));
            }
            Fault::Lag(node, for_ns) => {
                self.nodes[node.index()].lags = true;
                self.put(for_ns, Happening::Repair(Repair::Lag(node)));
            }
            Fault::SwitchOver(node) => self.give_now(node, Event::Order(Order::Switchover)),
            Fault::Maintenance(node, for_ns) => {
                self.give_now(node, Event::Order(Order::Maintenance { on: true }));
                self.put(for_ns, Happening::Repair(Repair::Maintenance(node)));
            }
            of_paths => self.break_paths(of_paths),
        }
    }

    fn break_paths(&mut self, fault: Fault) {
        match fault {
            Fault::Cut { from, path, for_ns } => {
                self.seen.note("cut");
                for node in NodeId::ALL {
                    self.lanes[node.index()][usize::from(path)].is_cut |= from[node.index()];
                }
                self.put(for_ns, Happening::Repair(Repair::Join { path }));
            }
            Fault::Loss(part, for_ns) => {
                self.lanes.iter_mut().flatten().for_each(|lane| lane.loss = part);
                self.put(for_ns, Happening::Repair(Repair::Loss));
            }
            Fault::Jam { path, jitter_ns, for_ns } => {
                for lanes in &mut self.lanes {
                    lanes[usize::from(path)].jitter_ns = jitter_ns;
                }
                self.put(for_ns, Happening::Repair(Repair::Jam { path }));
            }
            Fault::Repetition(part, for_ns) => {
                self.lanes.iter_mut().flatten().for_each(|lane| lane.repetition = part);
                self.put(for_ns, Happening::Repair(Repair::Repetition));
            }
            _ => {}
        }
    }

    /// A latch comes back, and has forgotten whose it is; what was meant for its former life does
    /// not count. Where latches alone arbitrate they keep their claim, or nobody could trust them.
    fn power_latch(&mut self, latch: u8) {
        if let Some((it, life)) = self.latches.get_mut(usize::from(latch)) {
            let hold = Duration::from_millis(100);
            *life += 1;
            if self.swarm.mode == Mode::Latch {
                *it = Latch::restored(latch, hold, it.kept());
            } else {
                *it = Latch::new(latch, hold);
                self.watch.forgot(usize::from(latch));
            }
            self.seen.note("a latch lost its power");
        }
    }

    /// Something is made right.
    pub(super) fn mend(&mut self, repair: Repair) {
        match repair {
            Repair::Start(node) => self.start(node),
            Repair::Resume(node) => self.resume(node),
            Repair::Join { path } => {
                for lanes in &mut self.lanes {
                    lanes[usize::from(path)].is_cut = false;
                }
            }
            Repair::Loss => self.lanes.iter_mut().flatten().for_each(|lane| lane.loss = 0.0),
            Repair::Jam { path } => {
                let ordinary = self.swarm.path.jitter_ns;
                for lanes in &mut self.lanes {
                    lanes[usize::from(path)].jitter_ns = ordinary;
                }
            }
            Repair::Repetition => {
                self.lanes.iter_mut().flatten().for_each(|lane| lane.repetition = 0.0);
            }
            Repair::Witness => self.witness_answers = true,
            Repair::Fence => self.fence_works = true,
            Repair::Stall(node) => self.nodes[node.index()].app_runs = true,
            Repair::Lag(node) => self.nodes[node.index()].lags = false,
            Repair::Maintenance(node) => {
                self.give_now(node, Event::Order(Order::Maintenance { on: false }));
            }
        }
    }

    /// A program goes on: it looks at the time, and at what came meanwhile.
    fn resume(&mut self, node: NodeId) {
        let it = &mut self.nodes[node.index()];
        if !it.is_paused {
            return;
        }
        it.is_paused = false;
        let backlog = std::mem::take(&mut it.backlog);
        self.give_now(node, Event::Time);
        for (path, letter) in backlog {
            self.open_letter(node, path, &letter);
        }
    }
}
