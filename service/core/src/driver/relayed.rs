//! Room for the commands that other members forward to this one while it leads.

use bytes::Bytes;
use conclave_proto::peer::refusal::Reason;

use crate::admission::Priority;
use crate::consensus::codec;
use crate::limits;
use crate::proposer::priority;

/// Bytes of the forwarded commands that wait for the log.
#[derive(Debug, Default)]
pub(super) struct Relayed {
    bytes: usize,
}

impl Relayed {
    /// Admits a framed command, if this release knows it and there is room. The same commands have
    /// a reserve as at the member that forwards them: revocations of leases.
    pub(super) fn admit(&mut self, framed: &Bytes) -> Result<(), Reason> {
        let body = codec::known(framed).ok_or(Reason::NotCapable)?;
        let bytes_max = match priority(&body) {
            Priority::Ordinary => limits::FORWARDED_BYTES_MAX,
            Priority::Lease => limits::FORWARDED_BYTES_MAX + limits::FORWARDED_BYTES_RESERVED,
        };
        let bytes = self.bytes + framed.len();
        if bytes > bytes_max {
            return Err(Reason::Busy);
        }
        self.bytes = bytes;
        Ok(())
    }

    /// Gives back the room of an admitted command.
    pub(super) fn remove(&mut self, framed: &Bytes) {
        self.bytes -= framed.len();
    }
}

#[cfg(test)]
mod tests {
    use conclave_proto::command::{Command, Header, command::Body};
    use conclave_proto::etcdserverpb::{LeaseRevokeRequest, PutRequest};

    use super::*;

    fn framed(body: Body) -> Bytes {
        codec::frame(&Command {
            header: Some(Header::default()),
            body: Some(body),
        })
    }

    fn put(value_len: usize) -> Bytes {
        framed(Body::Put(PutRequest {
            value: Bytes::from(vec![0; value_len]),
            ..PutRequest::default()
        }))
    }

    #[test]
    fn revocations_have_a_bounded_reserve() {
        let mut relayed = Relayed::default();
        let large = put(1 << 20);
        while relayed.admit(&large).is_ok() {}
        assert!(relayed.bytes > limits::FORWARDED_BYTES_MAX - large.len());
        let small = put(0);
        while relayed.admit(&small).is_ok() {}
        assert_eq!(relayed.admit(&small), Err(Reason::Busy));
        let revoke = framed(Body::LeaseRevoke(LeaseRevokeRequest { id: 7 }));
        let admitted = (0..).take_while(|_| relayed.admit(&revoke).is_ok()).count();
        assert!(
            admitted >= limits::IN_FLIGHT_COMMANDS_RESERVED,
            "{admitted}"
        );
        assert_eq!(relayed.admit(&revoke), Err(Reason::Busy));
        // What the log takes makes room again: first for revocations, then for all.
        relayed.remove(&large);
        assert_eq!(relayed.admit(&small), Err(Reason::Busy));
        assert_eq!(relayed.admit(&revoke), Ok(()));
        (0..5).for_each(|_| relayed.remove(&large));
        assert_eq!(relayed.admit(&small), Ok(()));
    }

    #[test]
    fn a_command_of_a_later_release_takes_no_room() {
        let mut relayed = Relayed::default();
        let nonsense = Bytes::from_static(b"nonsense");
        assert_eq!(relayed.admit(&nonsense), Err(Reason::NotCapable));
        assert_eq!(relayed.bytes, 0);
    }
}
