//! Several machines on LANs, and what can befall them.
//!
//! ```text
//!   n1 ── lan_a ── n2        each LAN is a hub: all machines hear all frames
//!    └─── lan_b ──┘
//!    └─── link2 ── n3 …      further links join whom they are said to join
//! ```

use std::path::Path;

use tools::netlab::{Programs, Scratch};

use super::hardware::Card;
use super::hub::Hub;
use super::node::{Node, PROGRAM};
use super::{LabError, Machine};

/// Machines of one lab: each takes a processor of the host's when it is busy.
const NODES_MAX: usize = 8;
/// Links of one lab: a machine has so many slots for cards.
const LINKS_MAX: usize = 16;

/// Machines and the links that join them. They end with this value, and with the thread that
/// started them.
#[derive(Debug)]
pub struct Lab {
    // Dropped in this order: machines before their LANs.
    nodes: Vec<Node>,
    hubs: Vec<(String, Hub)>,
    _scratch: Scratch,
}

/// A further link: a name, and the numbers of the machines (from 1) that it joins.
pub type Link<'a> = (&'a str, &'a [usize]);

impl Lab {
    /// Boots machines that share the LANs `lan_a` and `lan_b`. Thread: one that lives as long as
    /// they shall.
    ///
    /// # Errors
    /// There can be no machine here, or one did not boot within its limit.
    pub fn boot(machines: &[Machine]) -> Result<Self, LabError> {
        Self::boot_with(machines, &[])
    }

    /// The same with further links.
    ///
    /// # Errors
    /// As [`Self::boot`]; or a link joins a machine that is not there.
    pub fn boot_with(machines: &[Machine], links: &[Link<'_>]) -> Result<Self, LabError> {
        let all: Vec<usize> = (1..=machines.len()).collect();
        let lans = [("lan_a", all.as_slice()), ("lan_b", &all)];
        let links = [&lans[..], links].concat();
        check(machines.len(), &links)?;
        let scratch = Scratch::new()?;
        let programs = Programs::find(&[PROGRAM])?;
        let programs =
            programs.path(PROGRAM)?.parent().unwrap_or_else(|| Path::new("/")).to_owned();
        let mut hubs = Vec::new();
        for (index, (name, _)) in links.iter().enumerate() {
            let hub = Hub::open(&scratch.path().join(format!("lan{index}")))?;
            hubs.push(((*name).to_owned(), hub));
        }
        let mut nodes = Vec::new();
        for (machine, number) in machines.iter().zip(1..) {
            let joined = links.iter().zip(&hubs).enumerate();
            let joined = joined.filter(|(_, ((_, nodes), _))| nodes.contains(&number));
            let cards = joined.map(|(index, ((name, _), (_, hub)))| Card {
                name: (*name).to_owned(),
                mac: mac(index, number),
                lan: hub.path().to_owned(),
            });
            let name = format!("n{number}");
            let out = scratch.path().join(&name);
            nodes.push(Node::new(name, machine.clone(), programs.clone(), out, cards.collect()));
        }
        // All at once, then wait for each.
        nodes.iter_mut().try_for_each(Node::switch_on)?;
        nodes.iter_mut().try_for_each(Node::wait_until_booted)?;
        Ok(Self { nodes, hubs, _scratch: scratch })
    }

    /// The machine of that number, from 1.
    ///
    /// # Panics
    /// There is none.
    #[must_use]
    pub fn node(&self, number: usize) -> &Node {
        &self.nodes[number - 1]
    }

    /// The machine of that number, from 1, to do something to it.
    ///
    /// # Panics
    /// There is none.
    #[must_use]
    pub fn node_mut(&mut self, number: usize) -> &mut Node {
        &mut self.nodes[number - 1]
    }

    /// Makes a LAN or link lose all frames, while each card sees its carrier; or carry them again.
    ///
    /// # Panics
    /// There is no link of that name.
    pub fn set_silent(&self, link: &str, is_silent: bool) {
        self.hub(link).set_silent(is_silent);
    }

    /// How many frames a LAN or link was given, and how many of their copies it dropped because a
    /// machine did not take them.
    ///
    /// # Panics
    /// There is no link of that name.
    #[must_use]
    pub fn traffic(&self, link: &str) -> (u64, u64) {
        let hub = self.hub(link);
        (hub.frames(), hub.dropped())
    }

    fn hub(&self, link: &str) -> &Hub {
        let hub = self.hubs.iter().find(|(name, _)| name == link);
        let Some((_, hub)) = hub else { panic!("there is no link {link}") };
        hub
    }
}

/// Links have names that an interface may have, and join machines that are there.
fn check(nodes: usize, links: &[Link<'_>]) -> Result<(), LabError> {
    let refuse = |what: String| Err(LabError::Program(what));
    if !(1..=NODES_MAX).contains(&nodes) || links.len() > LINKS_MAX {
        return refuse(format!(
            "a lab has 1 to {NODES_MAX} machines and {LINKS_MAX} links at most"
        ));
    }
    for (index, (name, joined)) in links.iter().enumerate() {
        let fits = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if name.is_empty() || name.len() > 15 || !name.chars().all(fits) {
            return refuse(format!("`{name}` is no name for a link"));
        }
        if links[..index].iter().any(|(other, _)| other == name) {
            return refuse(format!("there are two links {name}"));
        }
        if let Some(stranger) = joined.iter().find(|number| !(1..=nodes).contains(*number)) {
            return refuse(format!("link {name}: there is no machine {stranger}"));
        }
    }
    Ok(())
}

/// The address of a card: from its link and its machine.
fn mac(link: usize, node: usize) -> String {
    // Both are bounded far below 256.
    format!("02:00:00:6c:{link:02x}:{node:02x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_that_cannot_be_are_refused() {
        let refused = |nodes, links: &[Link<'_>]| check(nodes, links).is_err();
        assert!(!refused(2, &[("lan_a", &[1, 2]), ("b", &[])]));
        assert!(refused(0, &[]) && refused(NODES_MAX + 1, &[]));
        assert!(refused(2, &[("a", &[1, 3])]) && refused(2, &[("a", &[0])]));
        assert!(refused(2, &[("a", &[1]), ("a", &[2])]));
        for name in ["", "a,b", "a b", "sixteen_octets_x"] {
            assert!(refused(2, &[(name, &[1])]), "{name}");
        }
    }
}
