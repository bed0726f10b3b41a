//! Every bound of the core, named, with the reason for its value. The bounds of a subsystem that
//! nobody else needs to know (a stream's queue, a connection cap) stand beside that subsystem;
//! those that hold the pipeline from a proposal to its reply together are here, because they only
//! make sense next to each other.
//!
//! The rule behind them: a queue is as long as the work its reader does in a few tens of
//! milliseconds, and whoever finds it full is told so at once. Nothing grows with the number of
//! clients.

use std::time::Duration;

/// Proposals between [`crate::handle::Handle::propose`] and their reply. etcd refuses when 5,000
/// entries are committed but not applied; we count from the mailbox on, so the bound must also hold
/// what waits for a sync: four times as many, which 5,000 clients with one call each never reach
/// and a runaway client meets in a fraction of a second.
pub const IN_FLIGHT_COMMANDS_MAX: usize = 20_000;

/// The same bound in encoded bytes. It is what keeps memory flat when the values are large: 1.5 MiB
/// puts are refused after 170 of them, not after 20,000.
pub const IN_FLIGHT_BYTES_MAX: usize = 256 << 20;

/// A pack of commands is closed when it has reached this size, so an entry is at most this and one
/// command. Raft clones entries in its ready list and sends whole entries, and a follower must take
/// one in a message.
pub const ENTRY_BYTES_MAX: usize = 1 << 20;

/// A pack of commands is closed at this many: the applier answers a whole entry at once, and this
/// keeps the first of them from waiting for more than a few milliseconds of work done for the
/// others.
pub const ENTRY_COMMANDS_MAX: usize = 1024;

/// Bytes of commands from other members that wait in a leader for its log. Each of them bounds its
/// own clients; this bounds what the leader holds for all of them.
pub const FORWARDED_BYTES_MAX: usize = 256 << 20;
/// Membership changes waiting for the one before them.
pub const WAITING_CHANGES_MAX: usize = 64;
/// Peer URLs of a member, in number and bytes. More are a mistake, and would be dialled for ever.
pub const PEER_URLS_MAX: usize = 16;
/// See [`PEER_URLS_MAX`].
pub const PEER_URLS_BYTES_MAX: usize = 8 << 10;

/// Ticks after which a read-index round without an answer is asked for again. A new leader drops
/// rounds that come before it has committed in its term, which takes it milliseconds.
pub const READ_PATIENCE_TICKS: u32 = 2;
/// Read-index requests waiting for the driver, and in it. A linearizable read costs the driver a
/// queue slot and nothing else, so this is a guard against leaks more than a limit on use.
pub const WAITING_READS_MAX: usize = 100_000;

/// Messages from peers waiting for the driver. Raft repeats what is dropped.
pub const PEER_MESSAGES_MAX: usize = 4_096;

/// Entries of the log kept in memory after they were appended, in bytes. Committed entries are read
/// from here; only a member that fell behind this much is served from disk.
pub const LOG_TAIL_BYTES_MAX: usize = 8 << 20;

/// Bytes of committed entries raft hands out at a time: one applier batch.
pub const COMMITTED_BYTES_MAX: u64 = 4 << 20;

/// Bytes of log a leader sends in one message, and the messages it sends ahead of acknowledgements.
/// Their product bounds what one slow follower can pin in the leader's memory, and has to fit into
/// the queue for one member twice (an entry may be larger than the message it is alone in): what
/// does not is lost, read from the log again, and lost again.
pub const APPEND_MESSAGE_BYTES_MAX: u64 = 1 << 20;
/// See [`APPEND_MESSAGE_BYTES_MAX`].
pub const APPEND_MESSAGES_IN_FLIGHT_MAX: usize = 32;
/// Bytes that wait for one member.
pub const PEER_QUEUE_BYTES_MAX: usize = 64 << 20;
const _: () = assert!(
    2 * APPEND_MESSAGE_BYTES_MAX as usize * APPEND_MESSAGES_IN_FLIGHT_MAX <= PEER_QUEUE_BYTES_MAX
);

/// Bytes of proposals raft takes on before the first of them commits. Above the admission bound, so
/// that raft never has to drop what was admitted.
pub const UNCOMMITTED_BYTES_MAX: u64 = 2 * IN_FLIGHT_BYTES_MAX as u64;

/// Batches queued from the driver to the applier. What does not fit waits in the driver; see
/// [`APPLY_BACKLOG_BATCHES_MAX`].
pub const APPLY_QUEUE_BATCHES_MAX: usize = 64;

/// Payload bytes the applier gathers into one engine write. Larger batches save little and hold the
/// replies of the first commands back.
pub const APPLY_BATCH_BYTES_MAX: usize = 4 << 20;
/// Commands the applier gathers into one engine write, for the same reason.
pub const APPLY_BATCH_COMMANDS_MAX: usize = 2_048;

/// Batches that wait in the driver for a place in the applier's queue, and the bytes in them:
/// beyond either, the driver proposes nothing and takes no entries from a leader. It never waits by
/// itself: its heartbeats would stop.
pub const APPLY_BACKLOG_BATCHES_MAX: usize = 1_024;
/// See [`APPLY_BACKLOG_BATCHES_MAX`].
pub const APPLY_BACKLOG_BYTES_MAX: usize = 128 << 20;
/// How soon the driver looks for a place again.
pub const APPLY_BACKLOG_RETRY: Duration = Duration::from_millis(5);

/// Appends queued from the driver to the log writer: with a sync running, one batch can gather
/// behind it.
pub const LOG_QUEUE_MAX: usize = 64;

/// Payload applied since the last flush of the state that makes the housekeeper flush again. A
/// restart replays at most twice this (a flush takes time), at some 50 MiB/s.
pub const FLUSH_AFTER_BYTES: u64 = 64 << 20;
/// A flush for the number of commands alone waits this long after the last one: many small flushes
/// cost the engine more compaction than the replay they save.
pub const FLUSH_INTERVAL_MIN: Duration = Duration::from_secs(10);

/// Bytes of log entries kept behind the durable applied index for followers that lag, beside the
/// configured number of entries: an entry is a pack of commands and may be large.
pub const CATCH_UP_BYTES: u64 = 64 << 20;
/// Bytes of log kept for a member that is receiving a snapshot, or has just received one, and will
/// need what was written meanwhile. What receives so slowly that more is written will need another
/// snapshot; it must not fill this member's disk.
pub const HELD_LOG_BYTES_MAX: u64 = 4 << 30;

/// Leases revoked by one proposal. Each deletes its keys, so this bounds how long one entry keeps
/// the applier.
pub const EXPIRE_BATCH_LEASES_MAX: usize = 500;
/// How long after a failed proposal the same leases are proposed again.
pub const EXPIRE_RETRY: Duration = Duration::from_millis(500);
/// Leases read from the state at a time after a promotion, under the lock that keep-alives take.
pub const LEASE_LOAD_MAX: usize = 512;

/// From one checkpoint of the time a lease has left to the next, as in etcd. A lease nobody renews
/// outlives its time by this much for each change of leader, at most.
pub const LEASE_CHECKPOINT_INTERVAL: Duration = Duration::from_secs(300);
/// Leases in one checkpoint. Each is a small record to write, so this bounds what one entry costs
/// the applier.
pub const LEASE_CHECKPOINT_BATCH_MAX: usize = 1000;

/// What etcd adds to a put's key and value in the quota's arithmetic, and what a lease costs.
pub const QUOTA_PUT_OVERHEAD_BYTES: u64 = 256;
/// See [`QUOTA_PUT_OVERHEAD_BYTES`].
pub const QUOTA_LEASE_BYTES: u64 = 64;

/// The part of the request deadline that does not depend on the election timeout.
pub const REQUEST_TIMEOUT_BASE: Duration = Duration::from_secs(5);

/// How long the member waits between attempts to publish its own name and addresses.
pub const PUBLISH_RETRY: Duration = Duration::from_millis(200);

/// A leader that is asked to stop waits so long for its successor.
pub const HAND_OVER_MAX: Duration = Duration::from_millis(500);

/// Client calls that are running when the server stops get this long to end.
pub const SHUTDOWN_GRACE: Duration = Duration::from_millis(700);
