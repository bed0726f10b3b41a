//! Encoding of a log entry's payload, without encoding anything twice.
//!
//! A payload is a `conclave.command.Batch`. In protobuf a message is the concatenation of its
//! fields, and a repeated field is the concatenation of its elements, each with its own tag and
//! length. So a batch of already encoded commands is built by copying: first the version field,
//! then each command as [`frame`] encoded it. Decoding uses the generated decoder.

use bytes::{BufMut, Bytes, BytesMut};
use prost::Message as _;
use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint, key_len};

use conclave_proto::command::{Batch, Command, command::Body};
use conclave_proto::peer::Forward;
use conclave_storage::{MemberId, RequestId};

/// Field numbers of `Batch`, as in `conclave/command.proto`.
const VERSION_FIELD: u32 = 1;
const COMMANDS_FIELD: u32 = 2;

/// Version of the payload format.
pub(crate) const BATCH_VERSION: u64 = 1;

/// Encodes a command as one element of a batch: tag, length, bytes.
pub fn frame(command: &Command) -> Bytes {
    let len = command.encoded_len();
    let mut out =
        BytesMut::with_capacity(key_len(COMMANDS_FIELD) + encoded_len_varint(len as u64) + len);
    encode_key(COMMANDS_FIELD, WireType::LengthDelimited, &mut out);
    encode_varint(len as u64, &mut out);
    command.encode_raw(&mut out);
    out.freeze()
}

/// Concatenates framed commands into the payload of one entry.
pub(crate) fn pack<'a>(framed: impl Iterator<Item = &'a Bytes> + Clone) -> Vec<u8> {
    let header_len = key_len(VERSION_FIELD) + encoded_len_varint(BATCH_VERSION);
    let len = header_len + framed.clone().map(Bytes::len).sum::<usize>();
    let mut out = Vec::with_capacity(len);
    encode_key(VERSION_FIELD, WireType::Varint, &mut out);
    encode_varint(BATCH_VERSION, &mut out);
    for command in framed {
        out.put_slice(command);
    }
    out
}

/// Returns the member id and request id of a framed command.
pub fn origin(framed: &Bytes) -> Option<(MemberId, RequestId)> {
    // A single framed element decodes as a batch with one command.
    let batch = Batch::decode(framed.clone()).ok()?;
    let header = batch.commands.into_iter().next()?.header?;
    Some((MemberId(header.member_id), RequestId(header.request_id)))
}

/// Decodes a forwarded proposal. Returns `None` if it is not one command that this release knows.
///
/// Every member must be able to apply every entry in the log. A member that cannot apply an entry
/// stops, and stops again at each restart.
pub(crate) fn known(framed: &Bytes) -> Option<Body> {
    let batch = Batch::decode(framed.clone()).ok()?;
    // A version field in here would be read as the version of the whole entry.
    if batch.version != 0 {
        return None;
    }
    let [command] = <[Command; 1]>::try_from(batch.commands).ok()?;
    command.header.and(command.body)
}

/// Returns the request ids in a forwarded proposal, for the refusal.
pub fn request_ids(forward: &Forward) -> Vec<RequestId> {
    let commands = forward.commands.iter().filter_map(origin);
    let change = forward
        .change
        .as_ref()
        .and_then(|change| change.header.as_ref());
    commands
        .map(|(_, request_id)| request_id)
        .chain(change.map(|header| RequestId(header.request_id)))
        .collect()
}

#[cfg(test)]
mod tests {
    use conclave_proto::command::Header;
    use conclave_proto::etcdserverpb::PutRequest;

    use super::*;

    fn put(request_id: u64, value_len: usize) -> Command {
        Command {
            header: Some(Header {
                request_id,
                member_id: 7,
                ..Header::default()
            }),
            body: Some(Body::Put(PutRequest {
                key: Bytes::from_static(b"k"),
                value: Bytes::from(vec![b'v'; value_len]),
                ..PutRequest::default()
            })),
        }
    }

    #[test]
    fn only_a_known_command_may_go_into_the_log() {
        let known = put(1, 5);
        assert_eq!(super::known(&frame(&known)), known.body);
        let headless = Command {
            header: None,
            ..known.clone()
        };
        // The decoder skips a body that a later release added.
        let later = Command {
            body: None,
            ..known.clone()
        };
        let versioned = pack([frame(&known)].iter()).into();
        let two = [frame(&known), frame(&known)].concat().into();
        let torn = frame(&known).slice(..19);
        let others = [frame(&headless), frame(&later), versioned, two, torn];
        for framed in others.into_iter().chain([Bytes::new()]) {
            assert_eq!(super::known(&framed), None, "{framed:?}");
        }
    }

    #[test]
    fn a_pack_is_the_batch_the_generated_code_would_write() {
        for lens in [&[][..], &[0], &[5, 0, 300], &[100_000, 1]] {
            let commands: Vec<_> = (1..).zip(lens).map(|(id, &len)| put(id, len)).collect();
            let framed: Vec<_> = commands.iter().map(frame).collect();
            let batch = Batch {
                version: 1,
                commands,
            };
            assert_eq!(pack(framed.iter()), batch.encode_to_vec());
        }
    }
}
