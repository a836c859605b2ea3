//! Whether the very interface that was there is still there.
//!
//! A name changes hands, and an index is given again to the next interface, in the same instant if
//! somebody asks for it. A socket that is bound to an interface loses its binding when that one is
//! deleted or leaves the network namespace, and never gets it back: it tells the same interface
//! from another one like it, whatever notifications were missed meanwhile.
//!
//! Thread class: any; one short system call.

use std::os::fd::{AsFd, OwnedFd};

use super::open_error::OpenError;
use super::socket;

/// Knows one interface for as long as it is in the network namespace. Receives nothing.
#[derive(Debug)]
pub struct Presence {
    socket: OwnedFd,
}

impl Presence {
    /// Begins to watch the interface of that index in the calling thread's namespace.
    ///
    /// # Errors
    /// [`OpenError::NoInterface`], [`OpenError::NotPermitted`].
    pub fn of(interface_index: u32) -> Result<Self, OpenError> {
        let socket = socket::open(libc::AF_PACKET, "open packet socket")?;
        socket::bind_packet(socket.as_fd(), interface_index, 0)?;
        Ok(Self { socket })
    }

    /// Whether the interface is still in the namespace, whatever it is called by now.
    #[must_use]
    pub fn is_there(&self) -> bool {
        socket::interface_exists(self.socket.as_fd())
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd as _;

    use super::*;
    use crate::os::link::Links;
    use crate::os::netns::NetNs;

    #[test]
    fn it_knows_the_interface_under_any_name_and_no_other_of_its_name() {
        let (Ok(namespace), Ok(other)) = (NetNs::create(), NetNs::create()) else {
            println!("SKIP: presence: needs CAP_SYS_ADMIN for network namespaces");
            return;
        };
        let mut links = Links::open_in(&namespace).unwrap();
        let make = |links: &mut Links| {
            links.create_veth("one", "two", None).unwrap();
            let index = links.by_name("one").unwrap().index;
            (index, namespace.run(|| Presence::of(index).unwrap()).unwrap())
        };
        let (index, one) = make(&mut links);
        links.set_up(index, true).unwrap();
        links.set_up(index, false).unwrap();
        links.rename(index, "three").unwrap();
        assert!(one.is_there());
        links.move_to_ns(index, &other).unwrap();
        assert!(!one.is_there());
        let mut far = Links::open_in(&other).unwrap();
        let there = far.by_name("three").unwrap().index;
        far.move_to_ns(there, namespace.as_fd()).unwrap();
        assert!(!one.is_there(), "what comes back is found anew");
        let again = links.by_name("three").unwrap().index;
        links.delete(again).unwrap();
        let (index, one) = make(&mut links);
        links.delete(index).unwrap();
        make(&mut links);
        assert!(!one.is_there(), "another of the same name");
        assert!(matches!(
            namespace.run(|| Presence::of(12_345)).unwrap(),
            Err(OpenError::NoInterface { index: 12_345 })
        ));
    }
}
