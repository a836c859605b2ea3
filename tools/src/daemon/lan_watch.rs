//! The control thread and the LANs' interfaces: looked at, and what follows done.

use prp::os::lan_port::LanPort;
use prp::os::link::{LinkInfo, Links};
use prp::types::LanId;
use rt_core::time::{Duration, Instant};

use super::exchange::Command;
use super::lan_life::{Sight, Step};
use super::lan_side::Mended;
use super::supervisor::{MEND_INTERVAL, Supervisor};
use crate::exit::Failure;
use crate::report::{DaemonEvent, LanEvent, Link};

/// More than two LANs can need at once; what is left waits for the next look.
const STEPS_MAX: usize = 8;

impl Supervisor {
    /// Looks at the interfaces as they are, whatever was or was not told, and does what follows.
    pub(super) fn look_at_lans(&mut self, now: Instant) {
        self.look_due = false;
        let Ok(mut links) = Links::open() else { return };
        for _ in 0..STEPS_MAX {
            let [a, b] = LanId::BOTH.map(|lan| self.step(now, lan, &mut links));
            if !a && !b {
                break;
            }
        }
        self.settle_lans(now);
    }

    /// Whether an interface that could not be taken is to be tried again.
    pub(super) fn retry_is_due(&self, now: Instant) -> bool {
        self.lans.iter().filter_map(|side| side.life.retry_at()).any(|again| again <= now)
    }

    /// How long until an interface that could not be taken is to be tried again. (One that is due
    /// is looked at in this turn; if it is not even there, notifications tell when it is.)
    pub(super) fn retry_in(&self, now: Instant) -> Option<Duration> {
        let later = self.lans.iter().filter_map(|side| side.life.retry_at());
        later.filter(|again| *again > now).map(|again| again.since(now)).min()
    }

    /// One step of one LAN; whether there was any.
    fn step(&mut self, now: Instant, lan: LanId, links: &mut Links) -> bool {
        let side = &self.lans[lan.index()];
        let ours = side.look(links);
        let named = links.by_name(&side.configured).ok().map(|info| info.index);
        let sight = Sight {
            ours: ours.as_ref().map(|info| info.name.as_str()),
            named,
            others: self.lans[lan.other().index()].life.held(),
        };
        let step = side.life.next(&sight, now);
        if let Some(info) = ours {
            self.link_seen(now, lan, info);
        }
        match step {
            None => return false,
            Some(Step::Lose) => self.lose(now, lan),
            Some(Step::Take(index)) => self.take(now, lan, index),
            Some(Step::Rename(name)) => self.rename(now, lan, &name),
            Some(Step::TellRival(index)) => {
                let side = &mut self.lans[lan.index()];
                side.life.rival_told(index);
                let (ours, name) = (side.interface.clone(), side.configured.clone());
                self.tell_lan(now, lan, LanEvent::NameTaken { ours, name });
            }
        }
        true
    }

    /// The kernel describes our interface: the link's ups and downs are told in their order.
    pub(super) fn link_seen(&mut self, now: Instant, lan: LanId, info: LinkInfo) {
        let side = &mut self.lans[lan.index()];
        let before = side.link();
        self.mend_due |= side.is_changed(&info, self.mac);
        side.info = Some(info);
        self.tell_link(now, lan, before);
    }

    /// Tells what has become of a link that was in the state `before`.
    fn tell_link(&mut self, now: Instant, lan: LanId, before: Link) {
        let side = &self.lans[lan.index()];
        let link = side.link();
        let is_set_up = side.info.as_ref().is_some_and(|info| info.up);
        let event = match (link, is_set_up) {
            _ if link == before => return,
            (Link::Up, _) => LanEvent::LinkUp,
            // It never was up.
            _ if before == Link::Absent => return,
            (_, true) => LanEvent::LinkDown,
            (_, false) => LanEvent::SetDown,
        };
        self.tell_lan(now, lan, event);
    }

    pub(super) fn tell_lan(&mut self, now: Instant, lan: LanId, event: LanEvent) {
        self.journal.daemon(now, &DaemonEvent::Lan(lan, event));
    }

    fn lose(&mut self, now: Instant, lan: LanId) {
        self.lans[lan.index()].lose();
        self.tell_lan(now, lan, LanEvent::Gone);
        // Should this find no place: the thread finds out by itself that the interface is gone.
        self.tell(Command::ReplaceLan(lan, None));
    }

    fn take(&mut self, now: Instant, lan: LanId, index: u32) {
        match self.try_take(lan, index) {
            Ok(port) => self.use_port(now, lan, port),
            Err(failure) => {
                let side = &mut self.lans[lan.index()];
                side.life.refused(index, now);
                let why = failure.to_string();
                // Often it is just being set up by somebody, and tried many times.
                if side.trouble.as_deref() != Some(&why) {
                    side.trouble = Some(why.clone());
                    self.tell_lan(now, lan, LanEvent::Refused(why));
                }
            }
        }
    }

    /// The former port is closed before there is another: a card that went to another network
    /// namespace and came back at once still has its XDP program.
    fn try_take(&mut self, lan: LanId, index: u32) -> Result<Box<LanPort>, Failure> {
        let met = self.lans[lan.index()].meet(index)?;
        if !self.has_port_back(lan) {
            met.leave();
            let why = "the thread that carries the frames has not yet given up the former port";
            return Err(Failure::failed(why.to_owned(), "it is tried again"));
        }
        self.lans[lan.index()].take(met, &self.config, &mut self.marker, self.mac)
    }

    fn use_port(&mut self, now: Instant, lan: LanId, port: Box<LanPort>) {
        if self.exchange.send(Command::ReplaceLan(lan, Some(port))).is_err() {
            // Never seen: the thread takes commands in every turn. The next look takes it again.
            self.journal.line("warning", "the lre thread does not take commands");
            self.lans[lan.index()].lose();
            return;
        }
        self.lent[lan.index()] = true;
        self.told[lan.index()] = None;
        let has_link = self.lans[lan.index()].link() == Link::Up;
        self.tell_lan(now, lan, LanEvent::Back { has_link });
        self.tell_link(now, lan, Link::Absent);
        if let Some(paths) = self.lans[lan.index()].paths() {
            self.journal.line("info", &paths);
        }
        self.set_promiscuous(now);
    }

    fn rename(&mut self, now: Instant, lan: LanId, name: &str) {
        let side = &mut self.lans[lan.index()];
        let from = side.interface.clone();
        let followed = side.rename(name, &mut self.marker);
        self.store_marker();
        let to = name.to_owned();
        // What of ours stayed behind under the old name, if nobody else of ours has it.
        if self.lans.iter().all(|side| side.interface != from)
            && let Ok(mut drop) = prp::os::ingress::IngressDrop::open()
        {
            drop.forget(&from);
        }
        self.tell_lan(now, lan, LanEvent::Renamed { from, to });
        if let Err(why) = followed {
            self.journal.line("warning", &format!("LAN {lan}: renamed, but {why}"));
        }
    }

    /// Tells the `lre` thread, and the host, what has become of the links: the last state of many.
    pub(super) fn settle_lans(&mut self, now: Instant) {
        for lan in LanId::BOTH {
            let side = &self.lans[lan.index()];
            let mtu = side.info.as_ref().map(|info| info.mtu);
            let state = (side.link() == Link::Up, mtu);
            let told = self.told[lan.index()];
            if told == Some(state) {
                continue;
            }
            let mut taken = self.tell(Command::SetLink(lan, state.0));
            if let Some(mtu) = mtu {
                taken &= self.tell(Command::SetMtu(lan, mtu));
            }
            self.told[lan.index()] = taken.then_some(state);
        }
        self.show_carrier(now);
    }

    /// Somebody may have changed what we set on a LAN interface; and frames that somebody merged
    /// cannot be taken.
    pub(super) fn mend_lans(&mut self, now: Instant) {
        self.mend_due = false;
        self.mend_from = now + MEND_INTERVAL;
        let figures = self.exchange.figures();
        for lan in LanId::BOTH {
            let side = &mut self.lans[lan.index()];
            let begins = side.watch_merged(now, figures.ports[lan.index()].rx_merged);
            let before = side.link();
            let mended = side.mend(&self.config, self.mac);
            if begins {
                self.tell_lan(now, lan, LanEvent::MergedFrames);
            }
            self.tell_link(now, lan, before);
            match mended {
                Ok(mended) => self.tell_mended(now, lan, &mended),
                Err(why) if self.lans[lan.index()].trouble.as_deref() != Some(&why) => {
                    self.lans[lan.index()].trouble = Some(why.clone());
                    self.tell_lan(now, lan, LanEvent::NotMended(why));
                }
                Err(_) => {}
            }
        }
        self.set_promiscuous(now);
        self.settle_lans(now);
    }

    fn tell_mended(&mut self, now: Instant, lan: LanId, mended: &Mended) {
        if !mended.fixed.is_empty() {
            self.tell_lan(now, lan, LanEvent::Mended(mended.fixed.to_string()));
        }
        if !mended.left.is_empty() {
            let why = format!("{}: {}", mended.left, mended.reasons.join("; "));
            self.tell_lan(now, lan, LanEvent::NotMended(why));
        }
    }

    /// Receives frames for other stations or not, as it is needed now.
    pub(super) fn set_promiscuous(&mut self, now: Instant) {
        let (wanted, mac, host) = (self.config.promiscuous, self.mac, self.host.is_promiscuous());
        for lan in LanId::BOTH {
            let side = &mut self.lans[lan.index()];
            match side.set_promiscuous(wanted, mac, host) {
                Ok(false) => {}
                Ok(true) => {
                    let why = side.every_frame();
                    self.tell_lan(now, lan, LanEvent::EveryFrame(why));
                }
                Err(why) => {
                    let name = &side.interface;
                    let text = format!("{name} does not receive frames for other stations: {why}");
                    self.journal.line("warning", &text);
                }
            }
        }
    }
}
