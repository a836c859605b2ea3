//! Messages about regions from anywhere: read, and said again.

use bumpless::attach::{MESSAGE_OCTETS_MAX, Reply, Request};

/// The octets are a message of either side; one that is understood is understood again when it is
/// said again.
pub(crate) fn attach(octets: &[u8]) {
    let mut into = vec![0; MESSAGE_OCTETS_MAX];
    if let Ok(request) = Request::decode(octets) {
        if let Request::Register(registration) = request {
            let sound = registration.layout().map(|layout| layout.segment_octets());
            assert!(sound.is_err() || sound.is_ok_and(|octets| octets > 0));
        }
        let again = request.encode(&mut into).expect("what was heard can be said");
        assert_eq!(Request::decode(again), Ok(request));
    }
    if let Ok(reply) = Reply::decode(octets) {
        let again = reply.encode(&mut into).expect("what was heard can be said");
        assert_eq!(Reply::decode(again), Ok(reply));
    }
}
