//! Target `snapshots`: modified chunks of a snapshot, sent to a member.
//!
//! A donor has a state of the member's cluster on its own disk, and its checkpoint is sent as a
//! leader sends it. The input chooses the modifications on the way: chunks that are lost, repeated,
//! swapped or changed, with correct or wrong checksums; files with other names and sizes; another
//! announcement. The member refuses the snapshot, or has the donor's state afterwards.
//!
//! Where the input changes the content of files and makes the checksums match, the member cannot
//! detect it. It may later end because of damaged data, as with a failing disk; it must not panic.
//!
//! Input: 0 and the bytes of a call of `Peer.Snapshot`, two bytes of length before each message; or
//! any other byte and changes in the format of [`Changes::make`].

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use conclave_proto::command::{Batch, Command, Header, command::Body};
use conclave_proto::etcdserverpb::PutRequest;
use conclave_proto::peer::snapshot_chunk::Chunk;
use conclave_proto::peer::{
    Hello, SnapshotChunk, SnapshotData, SnapshotEnd, SnapshotFile, SnapshotReport, SnapshotStart,
    peer_client::PeerClient, snapshot_report::Outcome,
};
use conclave_rocks::{RocksEngine, RocksOptions};
use conclave_service::FatalError;
use conclave_storage::engine::Engine;
use conclave_storage::layout::{FORMAT_VERSION, STATE_SPACES};
use conclave_storage::machine::{Genesis, Limits, Machine};
use conclave_storage::reader::Reader;
use conclave_storage::{Fault, Index, Term, snapshot};
use prost::Message as _;
use raft::eraftpb::{ConfState, Message, MessageType};
use tempfile::TempDir;
use tonic::Code;
use tonic::transport::Channel;

use crate::calls;
use crate::member::{Cluster, Member};
use crate::messages::encode;
use crate::panics;
use crate::peers;
use crate::source::Source;
use crate::target::Target;

/// Number of inputs in a member's life.
const RENEW_AFTER: usize = 512;

/// Number of inputs between two checks of the disk.
const REPLAY_AFTER: usize = 128;

/// Limit of changes per transfer.
const CHANGES_MAX: u8 = 4;

/// Size of a piece in bytes: small, so that a file has several.
const PIECE_BYTES: usize = 4 << 10;

/// The term of the donor's entries.
const TERM: Term = Term(1);

/// Time limit for a member that ends.
const ENDING: Duration = Duration::from_secs(10);

/// Size of the cache for the donor's state.
const CACHE_BYTES: usize = 1 << 20;

/// The target.
pub struct Snapshots {
    member: Member,
    channel: Channel,
    donor: Donor,
    inputs: usize,
}

impl Snapshots {
    /// Starts a member.
    pub fn open() -> Self {
        let member = Member::start(Cluster::OfThree);
        let donor = Donor::of(&member);
        Self {
            channel: connect(&member),
            donor,
            member,
            inputs: 0,
        }
    }

    fn renew(&mut self) {
        self.member.renew();
        self.channel = connect(&self.member);
        self.donor = Donor::of(&self.member);
    }

    /// Sends chunks; returns the member's report, or the code of its refusal.
    fn send(&self, chunks: Vec<SnapshotChunk>) -> Result<SnapshotReport, Code> {
        let mut client = PeerClient::new(self.channel.clone());
        let call = async move { client.snapshot(tokio_stream::iter(chunks)).await };
        let answer = self
            .member
            .block_on(harness::within("the report on a snapshot", call));
        answer
            .map(tonic::Response::into_inner)
            .map_err(|status| status.code())
    }
}

impl Target for Snapshots {
    fn run(&mut self, input: &[u8]) {
        let mut source = Source::new(input);
        self.inputs += 1;
        if source.byte() == 0 {
            let mut messages = Vec::new();
            while !source.is_empty() {
                let length = u16::from_le_bytes([source.byte(), source.byte()]);
                messages.push(Bytes::copy_from_slice(source.take(length.into())));
            }
            let call = calls::call(&self.channel, calls::PEER_METHODS[1], messages);
            self.member.block_on(call);
            return self.member.check_alive();
        }
        let mut changes = Changes::of(&self.donor, &self.member);
        for _ in 0..source.below(CHANGES_MAX + 1) {
            changes.make(&mut source);
        }
        let is_forged = changes.is_forged;
        let report = self.send(changes.chunks());
        let outcome = report.map_or(Outcome::Unspecified, |report| report.outcome());
        if is_forged {
            return self.after_forgery();
        }
        if outcome == Outcome::Received {
            self.donor
                .compare(self.member.handle().reader(), &self.member);
            self.donor.advance();
        }
        self.member.check_alive();
        if self.inputs.is_multiple_of(REPLAY_AFTER) {
            self.member.check_replay();
        }
        if self.inputs.is_multiple_of(RENEW_AFTER) {
            self.renew();
        }
    }

    fn check(&mut self) {
        self.member.check_replay();
    }
}

impl Snapshots {
    /// The member may have accepted a forged snapshot. It may later end because of damaged data,
    /// but not by an attempt to open the snapshot, and not by a panic.
    fn after_forgery(&mut self) {
        let read = self.member.handle().reader().hash_kv(0);
        panics::none_since();
        if self.member.handle().stopping().is_cancelled() {
            let end = self.member.end(ENDING);
            let is_of_damage = matches!(end, Err(FatalError::Fault(Fault::Damaged { .. })));
            assert!(is_of_damage, "the member has ended: {end:?}");
        } else {
            self.member.check_alive_or_ending();
        }
        if read.is_err() || self.member.handle().reader().applied().index > Index(1) {
            // The member would continue from a state that is not the donor's.
            self.renew();
        }
    }
}

/// A state of the member's cluster, and its checkpoint.
struct Donor {
    dir: TempDir,
    engine: Arc<dyn Engine>,
    machine: Machine,
    reader: Reader,
    taken: snapshot::Snapshot,
    copies: usize,
}

impl Donor {
    fn of(member: &Member) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let engine = open(&dir.path().join("state")).expect("an empty state opens");
        let opened = Machine::open(Arc::clone(&engine), Limits::default());
        let (mut machine, reader) = opened.expect("an empty state opens");
        let begun = machine.bootstrap(&Genesis {
            cluster_id: member.handle().identity().cluster_id,
            members: member.handle().reader().members(),
        });
        begun.expect("the disk does not fail");
        let taken = snapshot::Snapshot {
            index: Index::NONE,
            term: Term::NONE,
            members: Vec::new(),
            files: Vec::new(),
        };
        let mut donor = Self {
            dir,
            engine,
            machine,
            reader,
            taken,
            copies: 0,
        };
        donor.advance();
        donor
    }

    fn copy(&self) -> std::path::PathBuf {
        self.dir.path().join(format!("copy.{}", self.copies))
    }

    /// Applies some more entries and makes another checkpoint.
    fn advance(&mut self) {
        for _ in 0..3 {
            let index = self.reader.applied().index.next();
            let payload = entry(index).encode_to_vec().into();
            let applied = self.machine.apply(index, TERM, &payload);
            applied.expect("an entry that decodes");
            self.machine.commit().expect("the disk does not fail");
        }
        self.copies += 1;
        let taken = snapshot::take(&*self.engine, &self.copy(), open);
        self.taken = taken.expect("a checkpoint can be made");
    }

    /// Expects the member's state to equal the donor's at the checkpoint.
    fn compare(&self, reader: &Reader, member: &Member) {
        let index = self.taken.index;
        member.block_on(harness::eventually("the snapshot to be read", || async {
            (reader.applied().index >= index).then_some(())
        }));
        assert_eq!(reader.hash_kv(0), self.reader.hash_kv(0));
        assert_eq!(reader.members(), self.reader.members());
        assert_eq!(reader.hash(), self.reader.hash());
    }
}

fn open(dir: &Path) -> Result<Arc<dyn Engine>, Fault> {
    let options = RocksOptions::state(CACHE_BYTES);
    Ok(Arc::new(RocksEngine::open(dir, STATE_SPACES, options)?))
}

fn entry(index: Index) -> Batch {
    let put = PutRequest {
        key: format!("key {}", index.0 % 5).into(),
        value: vec![b'v'; 100].into(),
        ..PutRequest::default()
    };
    Batch {
        version: 1,
        commands: vec![Command {
            header: Some(Header::default()),
            body: Some(Body::Put(put)),
        }],
    }
}

/// A transfer before it is sent.
struct Changes {
    start: SnapshotStart,
    announcement: Message,
    data: Vec<SnapshotData>,
    end: SnapshotEnd,
    /// Chunks sent after the end.
    more: Vec<SnapshotChunk>,
    /// True if checksums were made to match changed content.
    is_forged: bool,
}

impl Changes {
    /// An unmodified transfer.
    fn of(donor: &Donor, member: &Member) -> Self {
        let view = peers::view(member);
        let taken = &donor.taken;
        let mut data = Vec::new();
        for (file, (name, _)) in (0..).zip(&taken.files) {
            let bytes = std::fs::read(donor.copy().join(name)).expect("the copy can be read");
            let mut offset_bytes = 0;
            for piece in bytes.chunks(PIECE_BYTES) {
                data.push(SnapshotData {
                    file,
                    offset_bytes,
                    data: Bytes::copy_from_slice(piece),
                    crc32c: crc32c::crc32c(piece),
                });
                offset_bytes += piece.len() as u64;
            }
        }
        let mut announcement = Message::default();
        announcement.set_msg_type(MessageType::MsgSnapshot);
        (announcement.from, announcement.to) = (view.peers[0], view.id);
        announcement.term = view.term.max(TERM.0);
        let metadata = announcement.mut_snapshot().mut_metadata();
        (metadata.index, metadata.term) = (taken.index.0, taken.term.0);
        let voters: Vec<u64> = taken.members.iter().map(|member| member.id).collect();
        metadata.set_conf_state(ConfState::from((voters, Vec::new())));
        let files = taken.files.iter().map(|(name, size_bytes)| SnapshotFile {
            name: name.clone(),
            size_bytes: *size_bytes,
        });
        let start = SnapshotStart {
            hello: Some(Hello {
                protocol_version: 1,
                cluster_id: member.handle().identity().cluster_id.0,
                member_id: view.peers[0],
                boot_id: 1,
                to_member_id: view.id,
                peer_urls: Vec::new(),
            }),
            raft_message: Bytes::new(),
            index: taken.index.0,
            term: taken.term.0,
            format_version: FORMAT_VERSION,
            files: files.collect(),
        };
        let mut changes = Self {
            start,
            announcement,
            data,
            end: SnapshotEnd::default(),
            more: Vec::new(),
            is_forged: false,
        };
        changes.end = changes.total();
        changes
    }

    fn total(&self) -> SnapshotEnd {
        let mut end = SnapshotEnd::default();
        for piece in &self.data {
            end.size_bytes += piece.data.len() as u64;
            end.crc32c = crc32c::crc32c_append(end.crc32c, &piece.data);
        }
        end
    }

    /// Makes one change.
    fn make(&mut self, source: &mut Source) {
        let at = usize::from(source.byte()) % self.data.len().max(1);
        match source.byte() {
            0..=59 => self.change_piece(source, at),
            60..=79 if !self.data.is_empty() => drop(self.data.remove(at)),
            80..=89 if !self.data.is_empty() => {
                let piece = self.data[at].clone();
                self.data.insert(at, piece);
            }
            90..=99 if !self.data.is_empty() => {
                let other = usize::from(source.byte()) % self.data.len();
                self.data.swap(at, other);
            }
            100..=119 => self.data.truncate(at),
            120..=149 => self.change_files(source),
            150..=169 => {
                self.start.index = source.near(self.start.index);
                self.start.term = source.near(self.start.term);
            }
            170..=174 => self.start.format_version = u32::from(source.byte()),
            175..=209 => self.announce_otherwise(source),
            210..=219 => {
                self.end.size_bytes = source.near(self.end.size_bytes);
                self.end.crc32c ^= u32::from(source.byte());
            }
            220..=229 => self.more.push(SnapshotChunk { chunk: None }),
            230..=239 => self.more.push(SnapshotChunk {
                chunk: Some(Chunk::Start(self.start.clone())),
            }),
            _ => {}
        }
    }

    fn change_piece(&mut self, source: &mut Source, at: usize) {
        let Some(piece) = self.data.get_mut(at) else {
            return;
        };
        let how = source.byte();
        if how & 1 != 0 {
            piece.file = source.near(piece.file.into()) as u32;
        }
        if how & 2 != 0 {
            piece.offset_bytes = source.near(piece.offset_bytes);
        }
        if how & 4 != 0 {
            piece.crc32c ^= u32::from(source.byte());
        }
        if how & 8 != 0 {
            let mut bytes = piece.data.to_vec();
            let place = usize::from(u16::from_le_bytes([source.byte(), source.byte()]));
            let place = place % bytes.len().max(1);
            if let Some(byte) = bytes.get_mut(place) {
                *byte ^= source.byte();
            }
            piece.data = bytes.into();
            if how & 16 != 0 {
                piece.crc32c = crc32c::crc32c(&piece.data);
                self.end = self.total();
                self.is_forged = true;
            }
        }
    }

    fn change_files(&mut self, source: &mut Source) {
        let at = usize::from(source.byte()) % self.start.files.len().max(1);
        let Some(file) = self.start.files.get_mut(at) else {
            return;
        };
        match source.byte() {
            0..=99 => file.size_bytes = source.near(file.size_bytes),
            100..=199 => {
                let name = source.piece();
                file.name = String::from_utf8_lossy(&name).into_owned();
                // A renamed file makes the snapshot a different set of files.
                self.is_forged = true;
            }
            200..=229 => {
                let file = file.clone();
                self.start.files.push(file);
            }
            230.. => {
                self.start.files.remove(at);
                self.is_forged = true;
            }
        }
    }

    fn announce_otherwise(&mut self, source: &mut Source) {
        match source.byte() {
            0..=49 => self.start.raft_message = source.piece(),
            50..=99 => {
                self.announcement.from = source.near(self.announcement.from);
                self.announcement.term = source.near(self.announcement.term);
            }
            100..=149 => {
                let metadata = self.announcement.mut_snapshot().mut_metadata();
                metadata.index = source.near(metadata.index);
                metadata.term = source.near(metadata.term);
            }
            150.. => {
                let state = self.announcement.mut_snapshot().mut_metadata();
                let mut conf_state = state.get_conf_state().clone();
                let count = source.below(4);
                // Empty if an earlier step removed them all.
                let voter = conf_state.voters.first().copied().unwrap_or_default();
                let ids: Vec<u64> = (0..count).map(|_| source.near(voter)).collect();
                match source.below(4) {
                    0 => conf_state.voters = ids,
                    1 => conf_state.learners = ids,
                    2 => conf_state.voters_outgoing = ids,
                    _ => conf_state.learners_next = ids,
                }
                state.set_conf_state(conf_state);
                self.is_forged = true;
            }
        }
    }

    fn chunks(mut self) -> Vec<SnapshotChunk> {
        if self.start.raft_message.is_empty() {
            self.start.raft_message = encode(&self.announcement);
        }
        let start = [Chunk::Start(self.start)].into_iter();
        let data = self.data.into_iter().map(Chunk::Data);
        let chunks = start.chain(data).chain([Chunk::End(self.end)]);
        let chunks = chunks.map(|chunk| SnapshotChunk { chunk: Some(chunk) });
        chunks.chain(self.more).collect()
    }
}

fn connect(member: &Member) -> Channel {
    member.block_on(async { calls::connect(&member.peer_address()) })
}
