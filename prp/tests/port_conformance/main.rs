//! What every port must do, checked on every port.
//!
//! `behaviour` holds the tests, generic over a [`pair::Pair`] of ports that are connected;
//! `special` holds what only ports on interfaces can show. Everything with an interface happens in
//! a network namespace of the test's own and needs root.

#![cfg(feature = "os")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use rt_core::os::freeze::TrapAllocator;

mod behaviour;
mod frames;
mod net;
mod pair;
#[macro_use]
mod skip;
mod special;
mod xdp;

#[global_allocator]
static ALLOCATOR: TrapAllocator = TrapAllocator::system();

/// Instantiates every behaviour for one kind of pair.
macro_rules! conformance {
    ($($name:ident: $pair:ty => [$($behaviour:ident),+ $(,)?];)+) => {$(
        mod $name {
            $(
                #[test]
                fn $behaviour() {
                    let test = concat!(stringify!($name), "::", stringify!($behaviour));
                    match <$pair as crate::pair::Pair>::open() {
                        Ok(mut pair) => crate::behaviour::$behaviour(&mut pair),
                        Err(missing) => println!("SKIP: {test}: {missing}"),
                    }
                }
            )+
        }
    )+};
}

macro_rules! conformance_of_all {
    ($($name:ident: $pair:ty;)+) => {
        conformance! {$(
            $name: $pair => [
                order_is_kept_both_ways,
                frames_of_every_length_arrive_whole,
                vlan_tags_arrive_in_place,
                a_budget_is_respected,
                own_transmissions_are_not_received,
                overlong_and_short_frames_are_refused_unfilled,
                frames_that_were_taken_arrive_however_many,
                an_interface_that_was_down_works_again,
                frames_sent_while_down_never_leave_later,
                deletion_is_told_as_gone,
                statistics_add_up,
                a_running_port_allocates_nothing,
            ];
        )+}
    };
}

conformance_of_all! {
    memory: crate::pair::MemoryPair;
    lan_packet: crate::pair::LanPair<crate::pair::RingPacket>;
    lan_xdp: crate::pair::LanPair<crate::pair::RingXdp>;
    lan_native: crate::pair::LanPair<crate::pair::Native>;
    lan_native_packet: crate::pair::LanPair<crate::pair::NativePacket>;
    lan_generic: crate::pair::LanPair<crate::pair::Generic>;
    veth_host: crate::pair::VethHostPair;
    tap_host: crate::pair::TapHostPair;
}
