//! The network itself.

use std::fs;
use std::io;
use std::net::IpAddr;
use std::os::fd::AsFd as _;
use std::path::Path;
use std::process::Command;

use prp::os::link::{BridgeOptions, LinkInfo, Links};
use prp::os::netns::{NetNs, command_in};
use prp::types::MacAddress;

use super::NetLabError;
use super::impairment::{HOST_SIDE, Impairment, LAN_SIDE};
use super::plan::{Plan, PortPlan, SWITCH_MTU};
use super::programs::Programs;
use super::scratch::Scratch;

/// The program that makes faults.
const IMPAIR: &str = "bumpless-impair";
/// A card's name until it has its own.
const UNNAMED: &str = "unnamed";

/// A test network. It vanishes with this value; programs that still run on its hosts should be
/// ended before, for they keep their host's namespace alive.
#[derive(Debug)]
pub struct Net {
    // Dropped in this order: programs before the namespaces they run in.
    cables: Vec<Cable>,
    hosts: Vec<Host>,
    fabric: NetNs,
    scratch: Scratch,
}

/// A host: a network namespace.
#[derive(Debug)]
pub struct Host {
    name: String,
    namespace: NetNs,
}

/// From a host's interface to a switch.
#[derive(Debug)]
struct Cable {
    impairment: Option<Impairment>,
    /// Where the impairment runs.
    middle: Option<NetNs>,
    host: usize,
    port: PortPlan,
    /// The switch's end, in the fabric.
    socket: String,
}

impl Net {
    /// Builds what `plan` says and starts the impairment programs, found in `programs` as
    /// `bumpless-impair` if any is planned. `seed` decides all their random choices.
    ///
    /// # Errors
    /// A privilege is missing, or the plan contradicts itself. Nothing stays behind then.
    pub fn build(plan: &Plan, programs: &Programs, seed: u64) -> Result<Self, NetLabError> {
        let scratch = Scratch::new()?;
        let fabric = quiet_namespace()?;
        switch_off_bridge_netfilter(&fabric)?;
        let mut links = Links::open_in(&fabric)?;
        for lan in &plan.lans {
            links.create_bridge(lan, &BridgeOptions::default())?;
            let bridge = links.by_name(lan)?.index;
            links.set_mtu(bridge, SWITCH_MTU)?;
            links.set_up(bridge, true)?;
        }
        let mut net = Self { cables: Vec::new(), hosts: Vec::new(), fabric, scratch };
        for host in &plan.hosts {
            let namespace = quiet_namespace()?;
            net.hosts.push(Host { name: host.name.clone(), namespace });
            for port in &host.ports {
                net.lay_cable(net.hosts.len() - 1, port, programs, seed)?;
            }
        }
        Ok(net)
    }

    fn lay_cable(
        &mut self,
        host: usize,
        port: &PortPlan,
        programs: &Programs,
        seed: u64,
    ) -> Result<(), NetLabError> {
        let number = self.cables.len();
        let socket = format!("socket{number}");
        let mut cable = Cable { impairment: None, middle: None, host, port: port.clone(), socket };
        let mut fabric = Links::open_in(&self.fabric)?;
        if port.impaired {
            let middle = quiet_namespace()?;
            fabric.create_veth(&cable.socket, LAN_SIDE, Some(middle.as_fd()))?;
            cable.middle = Some(middle);
        }
        // From here on the interfaces on the host's side can be made again, if a test removes them.
        self.cables.push(cable);
        let cable = &self.cables[number];
        self.make_host_side(cable)?;
        let mut near = self.hosts[host].links()?;
        let index = near.by_name(&port.interface)?.index;
        near.set_up(index, true)?;
        if let Some((ip, prefix_bits)) = port.ip {
            near.add_address(index, ip, prefix_bits)?;
        }
        let mut ends = vec![(&self.fabric, cable.socket.as_str())];
        if let Some(middle) = &cable.middle {
            ends.push((middle, LAN_SIDE));
        }
        for (namespace, name) in ends {
            let mut links = Links::open_in(namespace)?;
            let index = links.by_name(name)?.index;
            links.set_mtu(index, SWITCH_MTU)?;
            links.set_up(index, true)?;
        }
        self.plug(cable, &port.lan)?;
        if let Some(middle) = &cable.middle {
            let name = format!("faults of {}.{}", self.hosts[host].name, port.interface);
            let control = self.scratch.path().join(format!("impair{number}"));
            let seed = seed.wrapping_mul(64).wrapping_add(number as u64);
            let path = programs.path(IMPAIR)?;
            let impairment = Impairment::start(name, path, middle, control, seed)?;
            self.cables[number].impairment = Some(impairment);
        }
        Ok(())
    }

    /// Makes the host's interface, with what is at the other end of it.
    fn make_host_side(&self, cable: &Cable) -> Result<(), NetLabError> {
        let (namespace, name) = self.far_end(cable);
        let host = &self.hosts[cable.host];
        let port = &cable.port;
        let mut far = Links::open_in(namespace)?;
        // Under its name it appears with its address, as a real card does.
        far.create_veth(name, UNNAMED, Some(host.namespace.as_fd()))?;
        let index = far.by_name(name)?.index;
        far.set_mtu(index, SWITCH_MTU)?;
        far.set_up(index, true)?;
        let mut near = host.links()?;
        let index = near.by_name(UNNAMED)?.index;
        if let Some(mac) = port.mac {
            near.set_mac(index, mac)?;
        }
        near.set_mtu(index, port.mtu)?;
        Ok(near.rename(index, &port.interface)?)
    }

    /// What the host's interface is directly connected with.
    fn far_end<'n>(&'n self, cable: &'n Cable) -> (&'n NetNs, &'n str) {
        match &cable.middle {
            Some(middle) => (middle, HOST_SIDE),
            None => (&self.fabric, &cable.socket),
        }
    }

    fn plug(&self, cable: &Cable, lan: &str) -> Result<(), NetLabError> {
        let mut links = Links::open_in(&self.fabric)?;
        let bridge = links.by_name(lan)?.index;
        let socket = links.by_name(&cable.socket)?.index;
        Ok(links.set_controller(socket, bridge)?)
    }

    /// The host called `name`.
    ///
    /// # Errors
    /// [`NetLabError::Plan`]: there is none.
    pub fn host(&self, name: &str) -> Result<&Host, NetLabError> {
        let host = self.hosts.iter().find(|host| host.name == name);
        host.ok_or_else(|| NetLabError::Plan(format!("there is no host {name}")))
    }

    fn cable(&self, host: &str, interface: &str) -> Result<&Cable, NetLabError> {
        let is_meant =
            |c: &&Cable| self.hosts[c.host].name == host && c.port.interface == interface;
        let cable = self.cables.iter().find(is_meant);
        cable.ok_or_else(|| NetLabError::Plan(format!("there is no cable at {host}.{interface}")))
    }

    /// The switch's end of the cable at `interface` of `host`: the namespace of all switches and
    /// the interface's name there.
    ///
    /// # Errors
    /// No such cable.
    pub fn switch_end(&self, host: &str, interface: &str) -> Result<(&NetNs, &str), NetLabError> {
        Ok((&self.fabric, &self.cable(host, interface)?.socket))
    }

    /// The faults of the cable at `interface` of `host`.
    ///
    /// # Errors
    /// [`NetLabError::Plan`]: that cable was planned without.
    pub fn impairment(&self, host: &str, interface: &str) -> Result<&Impairment, NetLabError> {
        let impairment = self.cable(host, interface)?.impairment.as_ref();
        impairment.ok_or_else(|| {
            NetLabError::Plan(format!("no impairment planned at {host}.{interface}"))
        })
    }

    /// All faults, each with its host and interface.
    pub fn impairments(&self) -> impl Iterator<Item = (&str, &str, &Impairment)> {
        self.cables.iter().filter_map(|cable| {
            let host = self.hosts[cable.host].name.as_str();
            Some((host, cable.port.interface.as_str(), cable.impairment.as_ref()?))
        })
    }

    /// A folder for files: it goes with the network.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.scratch.path()
    }

    /// Moves the cable of `interface` of `host` into the switch of another LAN; the link stays up.
    ///
    /// # Errors
    /// No such cable or LAN.
    pub fn plug_into(&self, host: &str, interface: &str, lan: &str) -> Result<(), NetLabError> {
        self.plug(self.cable(host, interface)?, lan)
    }

    /// Switches the link of `interface` of `host` off or on: the host sees its carrier go.
    ///
    /// # Errors
    /// No such cable.
    pub fn set_link(&self, host: &str, interface: &str, up: bool) -> Result<(), NetLabError> {
        let (namespace, name) = self.far_end(self.cable(host, interface)?);
        let mut links = Links::open_in(namespace)?;
        let index = links.by_name(name)?.index;
        Ok(links.set_up(index, up)?)
    }

    /// Takes the network card `interface` out of `host`: the interface is deleted.
    ///
    /// # Errors
    /// No such cable, or the interface is gone already.
    pub fn remove_card(&self, host: &str, interface: &str) -> Result<(), NetLabError> {
        let cable = self.cable(host, interface)?;
        let mut links = self.hosts[cable.host].links()?;
        let index = links.by_name(&cable.port.interface)?.index;
        Ok(links.delete(index)?)
    }

    /// Puts a network card of the same name, address and place back into `host`. It is down and has
    /// no IP address, as a new card is.
    ///
    /// # Errors
    /// No such cable, or the interface is still there.
    pub fn insert_card(&self, host: &str, interface: &str) -> Result<(), NetLabError> {
        let cable = self.cable(host, interface)?;
        self.make_host_side(cable)?;
        // An impairment takes up its new interface by itself.
        if cable.middle.is_none() { self.plug(cable, &cable.port.lan) } else { Ok(()) }
    }
}

impl Host {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its namespace.
    #[must_use]
    pub const fn namespace(&self) -> &NetNs {
        &self.namespace
    }

    /// Its interfaces.
    ///
    /// # Errors
    /// No netlink socket.
    pub fn links(&self) -> Result<Links, NetLabError> {
        Ok(Links::open_in(&self.namespace)?)
    }

    /// One of its interfaces, as it is now.
    ///
    /// # Errors
    /// There is none of that name.
    pub fn link(&self, interface: &str) -> Result<LinkInfo, NetLabError> {
        Ok(self.links()?.by_name(interface)?)
    }

    /// A command that will start `program` on this host.
    ///
    /// # Errors
    /// No descriptor is free.
    pub fn command(&self, program: impl AsRef<Path>) -> Result<Command, NetLabError> {
        let mut command = Command::new(program.as_ref());
        command_in(&self.namespace, &mut command)?;
        Ok(command)
    }

    /// Runs `work` on a thread inside this host.
    ///
    /// # Errors
    /// The namespace cannot be entered.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T, NetLabError> {
        Ok(self.namespace.run(work)?)
    }

    /// Gives an interface an IP address.
    ///
    /// # Errors
    /// No such interface, or the address is there already.
    pub fn add_address(
        &self,
        interface: &str,
        ip: IpAddr,
        prefix_bits: u8,
    ) -> Result<(), NetLabError> {
        let mut links = self.links()?;
        let index = links.by_name(interface)?.index;
        Ok(links.add_address(index, ip, prefix_bits)?)
    }

    /// Enters a neighbour, so that nobody has to be asked for its address.
    ///
    /// # Errors
    /// No such interface.
    pub fn add_neighbour(
        &self,
        interface: &str,
        ip: IpAddr,
        mac: MacAddress,
    ) -> Result<(), NetLabError> {
        let mut links = self.links()?;
        let index = links.by_name(interface)?.index;
        Ok(links.set_neighbour(index, ip, mac)?)
    }
}

/// A namespace that sends nothing of its own accord: without IPv6, with a loopback that is up.
///
/// # Errors
/// A privilege is missing.
pub fn quiet_namespace() -> Result<NetNs, NetLabError> {
    let namespace = NetNs::create_with_loopback()?;
    for which in ["all", "default"] {
        write_sysctl(&namespace, &format!("ipv6/conf/{which}/disable_ipv6"), "1")?;
    }
    Ok(namespace)
}

/// With netfilter in the way a bridge trims each IP packet's frame to the packet's length, and what
/// stands behind it, the RCT, is gone.
fn switch_off_bridge_netfilter(fabric: &NetNs) -> Result<(), NetLabError> {
    for protocol in ["iptables", "ip6tables", "arptables"] {
        write_sysctl(fabric, &format!("bridge/bridge-nf-call-{protocol}"), "0")?;
    }
    Ok(())
}

/// Writes a setting of `namespace`; one that this kernel does not have needs no writing.
fn write_sysctl(namespace: &NetNs, name: &str, value: &str) -> Result<(), NetLabError> {
    let path = format!("/proc/sys/net/{name}");
    match namespace.run(|| fs::write(&path, value))? {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(NetLabError::io(format!("cannot write {path}"))(error))
        }
        _ => Ok(()),
    }
}
