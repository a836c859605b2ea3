//! The operating system half: ports on Linux, network interfaces and namespaces.
//!
//! | Module | Holds |
//! |---|---|
//! | [`lan_port`] | a LAN port: packet ring or AF_XDP in, `sendmmsg` or AF_XDP out |
//! | [`receive_path`], [`transmit_path`] | which way in and which way out it takes |
//! | [`host_port`] | the host's side: a TAP, or the inner end of a veth pair |
//! | [`tap`] | a TAP interface that this process owns |
//! | [`packet_ring`] | reception through a memory-mapped AF_PACKET ring |
//! | `xdp_lan`, `xdp_rx` | reception through AF_XDP |
//! | `xdp_program`, `btf` | the XDP program for it |
//! | `bpf` | how programs come into the kernel |
//! | `packet_tx`, `xdp_tx` | the two ways to transmit |
//! | [`checksum`] | checksums that a sender on this machine left open |
//! | [`pcapng`] | a port wrapper that writes a capture file |
//! | [`promiscuity`] | frames for other stations, while somebody needs them |
//! | [`presence`] | whether an interface is still the one that it was |
//! | [`netns`] | network namespaces |
//! | [`link`] | network interfaces, and what happens to them |
//! | [`ethtool`] | their offloads, and their drivers' settings |
//! | [`ingress`] | what arrives there and must not reach the host's own stack |
//! | [`claim`] | a LAN interface as the daemon's own, and given back as it was |

mod bpf;
mod btf;
pub mod checksum;
pub mod claim;
pub mod ethtool;
pub mod host_port;
pub mod ingress;
pub mod lan_port;
pub mod link;
mod netlink;
pub mod netns;
pub mod open_error;
pub mod packet_ring;
mod packet_tx;
pub mod pcapng;
pub mod presence;
pub mod promiscuity;
pub mod receive_path;
mod ring_slot;
mod socket;
pub mod tap;
pub mod transmit_path;
mod xdp_lan;
mod xdp_program;
mod xdp_ring;
mod xdp_rx;
mod xdp_socket;
mod xdp_tx;
mod xdp_umem;
