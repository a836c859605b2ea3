//! The control thread and the host interface: what somebody does with it.
//!
//! It is the host's to set down and up, to rename and to give a smaller MTU. Its address is the
//! node's, and it takes no more than the LANs carry: these are put right. In another network
//! namespace it works on, out of our sight. Without it there is nothing to run for.

use prp::os::link::{LinkInfo, Links};
use prp::types::MacAddress;
use rt_core::time::Instant;

use super::host_interface::Place;
use super::supervisor::Supervisor;
use crate::exit::Failure;
use crate::report::{DaemonEvent, HostEvent};

/// What somebody did to the host interface.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Change {
    /// It was set down, or up.
    SetUp(bool),
    /// It has another name.
    Renamed(String),
    /// It receives frames for other stations, or no longer.
    Promiscuous,
    /// It has another address.
    Mac,
    /// It takes longer frames than the LANs carry.
    Mtu,
}

/// What has changed, and what is not as it has to be.
fn changes(before: Option<&LinkInfo>, now: &LinkInfo, mac: MacAddress, mtu: u32) -> Vec<Change> {
    let mut changes = Vec::new();
    if let Some(before) = before {
        if before.up != now.up {
            changes.push(Change::SetUp(now.up));
        }
        if before.name != now.name {
            changes.push(Change::Renamed(now.name.clone()));
        }
    }
    if before.is_none_or(|before| before.promiscuous != now.promiscuous) {
        changes.push(Change::Promiscuous);
    }
    if now.mac != mac {
        changes.push(Change::Mac);
    }
    if now.mtu > mtu {
        changes.push(Change::Mtu);
    }
    changes
}

impl Supervisor {
    /// Looks at the host interface and does what follows.
    pub(super) fn look_at_host(&mut self, now: Instant) {
        match self.host.find() {
            Place::Here => self.look_at_home(now),
            Place::Elsewhere => self.host_moved(now),
            Place::Gone => self.host_gone(now),
        }
    }

    fn look_at_home(&mut self, now: Instant) {
        if self.host.is_away {
            let result = self.host.come_home();
            if let Some(owned) = &mut self.marker.owned.host {
                owned.index = self.host.index;
            }
            self.store_marker();
            self.journal.daemon(now, &DaemonEvent::Host(HostEvent::MovedBack));
            self.warn_of_host(result);
        }
        let Ok(mut links) = Links::open() else { return };
        // One that is on its way out is found to be so in a moment.
        if let Ok(info) = links.by_index(self.host.index) {
            self.host_seen(now, info, &mut links);
        }
    }

    fn host_moved(&mut self, now: Instant) {
        if self.host.is_away {
            return;
        }
        let result = self.host.leave();
        self.journal.daemon(now, &DaemonEvent::Host(HostEvent::Moved));
        self.warn_of_host(result);
    }

    fn warn_of_host(&self, result: Result<(), String>) {
        if let Err(why) = result {
            self.journal.line("warning", &format!("host interface: {why}"));
        }
    }

    /// It is gone, and with it whatever the host had there: addresses, routes, who listens on it.
    /// One that we made anew would have none of it, so whoever started us has to know.
    pub(super) fn host_gone(&mut self, now: Instant) {
        if self.failure.is_some() {
            return;
        }
        let name = &self.host.name;
        self.journal.daemon(now, &DaemonEvent::Host(HostEvent::Gone));
        self.failure = Some(Failure::failed(
            format!("host interface {name} was deleted by somebody"),
            "start the daemon again, and leave its interface to it",
        ));
    }

    fn host_seen(&mut self, now: Instant, info: LinkInfo, links: &mut Links) {
        let changes = changes(self.host.info.as_ref(), &info, self.mac, self.host.mtu);
        self.host.info = Some(info);
        let mut mended = Vec::new();
        for change in changes {
            match change {
                Change::SetUp(up) => {
                    let event = if up { HostEvent::SetUp } else { HostEvent::SetDown };
                    self.journal.daemon(now, &DaemonEvent::Host(event));
                }
                Change::Renamed(to) => self.host_renamed(now, to),
                Change::Promiscuous => self.set_promiscuous(now),
                Change::Mac => {
                    let set = links.set_mac(self.host.index, self.mac);
                    mended.push(("its MAC address was another one", set));
                }
                Change::Mtu => {
                    let set = links.set_mtu(self.host.index, self.host.mtu);
                    mended.push(("its MTU was more than the LANs carry", set));
                }
            }
        }
        let mut trouble = None;
        for (what, result) in mended {
            match result {
                Ok(()) => {
                    let event = HostEvent::Mended(what.to_owned());
                    self.journal.daemon(now, &DaemonEvent::Host(event));
                }
                Err(why) => trouble = Some(format!("host interface: {what}; not put right: {why}")),
            }
        }
        // Tried each time, told once.
        if let Some(text) = &trouble
            && self.host.trouble != trouble
        {
            self.journal.line("alarm", text);
        }
        self.host.trouble = trouble;
    }

    fn host_renamed(&mut self, now: Instant, to: String) {
        let from = std::mem::replace(&mut self.host.name, to.clone());
        if let Some(owned) = &mut self.marker.owned.host {
            owned.name.clone_from(&to);
        }
        self.store_marker();
        self.journal.daemon(now, &DaemonEvent::Host(HostEvent::Renamed { from, to }));
    }
}

#[cfg(test)]
mod tests {
    use super::super::test_values::{MAC, lan_interface};
    use super::*;

    #[test]
    fn the_host_may_do_what_is_its_own_business() {
        let info = LinkInfo { name: "prp0".to_owned(), mtu: 1500, noarp: false, ..lan_interface() };
        let of = |now: &LinkInfo| changes(Some(&info), now, MAC, 1500);
        assert_eq!(changes(None, &info, MAC, 1500), [Change::Promiscuous], "as it is at first");
        for fine in [
            info.clone(),
            LinkInfo { mtu: 576, running: false, ..info.clone() },
            LinkInfo { controller: Some(7), alias: Some("x".to_owned()), ..info.clone() },
        ] {
            assert_eq!(of(&fine), [], "{fine:?}");
        }
        let down = LinkInfo { up: false, promiscuous: true, ..info.clone() };
        assert_eq!(of(&down), [Change::SetUp(false), Change::Promiscuous]);
        let renamed = LinkInfo { name: "x".to_owned(), ..info.clone() };
        assert_eq!(of(&renamed), [Change::Renamed("x".to_owned())]);
        let wrong = LinkInfo { mac: MacAddress([2; 6]), mtu: 1501, ..info.clone() };
        assert_eq!(of(&wrong), [Change::Mac, Change::Mtu]);
        assert_eq!(changes(Some(&wrong), &wrong, MAC, 1500), [Change::Mac, Change::Mtu], "still");
    }
}
