//! The bounds of the pipeline from a proposal to its reply, with the reason for each value. They
//! are in one place because each depends on others. A bound that only one subsystem needs (a
//! stream's queue, a connection cap) is in that subsystem.
//!
//! The rule behind the bounds: a queue holds the work that its reader does in a few tens of
//! milliseconds, and a sender that finds the queue full gets an error at once. Nothing grows with
//! the number of clients.

use std::time::Duration;

/// Proposals between [`crate::handle::Handle::propose`] and their reply. etcd refuses proposals
/// when 5,000 entries are committed but not applied. We count from the mailbox on, so the bound
/// must also cover the proposals that wait for a sync: it is four times as large. 5,000 clients
/// with one call each never reach it, and a runaway client does in a fraction of a second.
pub(crate) const IN_FLIGHT_COMMANDS_MAX: usize = 20_000;

/// The same bound in encoded bytes. It bounds the memory when the values are large: puts of 1.5 MiB
/// are refused after 170 of them, not after 20,000.
pub(crate) const IN_FLIGHT_BYTES_MAX: usize = 256 << 20;

/// Places beyond [`IN_FLIGHT_COMMANDS_MAX`] for commands that end leases. A member that is flooded
/// with writes must be able to end what their owners have given up, such as locks. Few, since such
/// a command is small and soon done, and beyond them it is refused like all others.
pub(crate) const IN_FLIGHT_COMMANDS_RESERVED: usize = 1_000;
/// The same reserve in bytes.
pub(crate) const IN_FLIGHT_BYTES_RESERVED: usize = 1 << 20;

/// A pack of commands is closed when it has reached this size, so an entry is at most this and one
/// command. Raft clones entries in its ready list and sends whole entries, so an entry must fit
/// into a message.
pub const ENTRY_BYTES_MAX: usize = 1 << 20;

/// A pack of commands is closed at this many. The applier answers the commands of an entry
/// together, and this keeps the first command from waiting for more than a few milliseconds of work
/// for the others.
pub(crate) const ENTRY_COMMANDS_MAX: usize = 1024;

/// Bytes of commands from other members that wait in a leader for its log. Each member bounds the
/// commands of its own clients; this bounds what the leader holds for all members.
pub(crate) const FORWARDED_BYTES_MAX: usize = 256 << 20;
/// Room beyond [`FORWARDED_BYTES_MAX`] for commands that end leases, as in
/// [`IN_FLIGHT_BYTES_RESERVED`]. Each of four other members may have its reserve under way.
pub(crate) const FORWARDED_BYTES_RESERVED: usize = 4 * IN_FLIGHT_BYTES_RESERVED;
/// Membership changes waiting for the one before them.
pub(crate) const WAITING_CHANGES_MAX: usize = 64;
/// Number of peer URLs of a member. More are a mistake, and the members would dial them for ever.
pub const PEER_URLS_MAX: usize = 16;
/// Bytes of a member's peer URLs.
pub const PEER_URLS_BYTES_MAX: usize = 8 << 10;

/// Ticks after which a read-index round without an answer is requested again. A new leader drops
/// rounds until it has committed an entry of its term, which takes milliseconds.
pub(crate) const READ_PATIENCE_TICKS: u32 = 2;
/// Read-index requests that wait for the driver or in it. A linearizable read costs the driver only
/// a queue slot, so this is a guard against leaks more than a limit on use.
pub(crate) const WAITING_READS_MAX: usize = 100_000;
/// Places beyond [`WAITING_READS_MAX`] for keep-alives, each of which waits until the leadership is
/// confirmed: a flood of reads must not end leases.
pub(crate) const WAITING_READS_RESERVED: usize = 10_000;

/// Traced commands that a leader follows to the other members at a time; the oldest are forgotten.
pub(crate) const TRACED_COMMANDS_MAX: usize = 1_024;

/// Messages from peers that wait for the driver. Raft repeats a dropped message.
pub const PEER_MESSAGES_MAX: usize = 4_096;

/// Bytes of the last log entries, kept in memory. Committed entries are read from there; only for a
/// member that is further behind, entries are read from disk.
pub(crate) const LOG_TAIL_BYTES_MAX: usize = 8 << 20;

/// Bytes of committed entries that raft returns at a time: one applier batch.
pub(crate) const COMMITTED_BYTES_MAX: u64 = 4 << 20;

/// Bytes of log that a leader sends in one message. Multiplied by
/// [`APPEND_MESSAGES_IN_FLIGHT_MAX`], this bounds what one slow follower can pin in the leader's
/// memory. Twice the product must fit into the queue for one member, since an entry that is alone
/// in a message may be larger. A message that does not fit is dropped, and would be read from the
/// log and dropped again and again.
pub(crate) const APPEND_MESSAGE_BYTES_MAX: u64 = 1 << 20;
/// Messages that a leader sends ahead of acknowledgements; see [`APPEND_MESSAGE_BYTES_MAX`].
pub(crate) const APPEND_MESSAGES_IN_FLIGHT_MAX: usize = 32;
/// Bytes of messages that wait for one member.
pub const PEER_QUEUE_BYTES_MAX: usize = 64 << 20;
const _: () = assert!(
    2 * APPEND_MESSAGE_BYTES_MAX as usize * APPEND_MESSAGES_IN_FLIGHT_MAX <= PEER_QUEUE_BYTES_MAX
);

/// Bytes of proposals that raft accepts before the first of them commits. Above the admission
/// bound, so that raft never drops an admitted proposal.
pub(crate) const UNCOMMITTED_BYTES_MAX: u64 = 2 * IN_FLIGHT_BYTES_MAX as u64;

/// Batches in the queue from the driver to the applier. Further batches wait in the driver; see
/// [`APPLY_BACKLOG_BATCHES_MAX`].
pub(crate) const APPLY_QUEUE_BATCHES_MAX: usize = 64;

/// Payload bytes that the applier gathers into one engine write. Larger batches save little, and
/// delay the replies of their first commands.
pub(crate) const APPLY_BATCH_BYTES_MAX: usize = 4 << 20;
/// Commands that the applier gathers into one engine write, for the same reason.
pub(crate) const APPLY_BATCH_COMMANDS_MAX: usize = 2_048;

/// Batches that wait in the driver for room in the applier's queue. Beyond this number, or beyond
/// [`APPLY_BACKLOG_BYTES_MAX`], the driver proposes nothing and takes no entries from a leader. The
/// driver does not block instead, because its heartbeats would stop.
pub(crate) const APPLY_BACKLOG_BATCHES_MAX: usize = 1_024;
/// Bytes in the batches that wait in the driver.
pub(crate) const APPLY_BACKLOG_BYTES_MAX: usize = 128 << 20;
/// Pause before the driver tries the applier's queue again.
pub(crate) const APPLY_BACKLOG_RETRY: Duration = Duration::from_millis(5);

/// Appends in the queue from the driver to the log writer. They gather during a sync, and the next
/// sync covers them all.
pub(crate) const LOG_QUEUE_MAX: usize = 64;

/// Applied payload bytes after which the housekeeper flushes the state. A restart replays at most
/// twice this, since a flush takes time, at about 50 MiB/s.
pub(crate) const FLUSH_AFTER_BYTES: u64 = 64 << 20;
/// Least time between two flushes, unless [`FLUSH_AFTER_BYTES`] is reached: many small flushes cost
/// the engine more compaction than the replay that they save.
pub(crate) const FLUSH_INTERVAL_MIN: Duration = Duration::from_secs(10);

/// Bytes of log entries kept behind the durable applied index for followers that lag. Limits the
/// configured number of entries, since an entry is a pack of commands and may be large.
pub(crate) const CATCH_UP_BYTES: u64 = 64 << 20;
/// Bytes of log kept for a member that is receiving a snapshot, or has just received one, and will
/// need the entries written meanwhile. If more is written, the member needs another snapshot, but
/// this member's disk does not fill up.
pub(crate) const HELD_LOG_BYTES_MAX: u64 = 4 << 30;

/// Leases revoked by one proposal. A revoke deletes the lease's keys, so this bounds how long one
/// entry occupies the applier.
pub(crate) const EXPIRE_BATCH_LEASES_MAX: usize = 500;
/// Pause after a failed proposal before the end of the same leases is proposed again.
pub(crate) const EXPIRE_RETRY: Duration = Duration::from_millis(500);
/// Leases read from the state at a time after a promotion, under the lock that keep-alives take.
pub(crate) const LEASE_LOAD_MAX: usize = 512;

/// Logins that a member remembers: some 20 MiB.
pub(crate) const LOGINS_MAX: usize = 100_000;

/// Time between two checkpoints of a lease's remaining time, as in etcd. A lease that no client
/// renews outlives its time by at most this for each change of leader.
pub const LEASE_CHECKPOINT_INTERVAL: Duration = Duration::from_secs(300);
/// Leases in one checkpoint. Each lease is a small record to write, so this bounds what one entry
/// costs the applier.
pub(crate) const LEASE_CHECKPOINT_BATCH_MAX: usize = 1000;

/// Bytes that etcd adds to a put's key and value when it checks the quota.
pub(crate) const QUOTA_PUT_OVERHEAD_BYTES: u64 = 256;
/// Bytes that a lease counts as when the quota is checked.
pub(crate) const QUOTA_LEASE_BYTES: u64 = 64;

/// The part of the request deadline that does not depend on the election timeout.
pub const REQUEST_TIMEOUT_BASE: Duration = Duration::from_secs(5);

/// Pause between attempts of the member to publish its own name and addresses.
pub const PUBLISH_RETRY: Duration = Duration::from_millis(200);

/// Time that a stopping leader waits for another leader to take over.
pub const HAND_OVER_MAX: Duration = Duration::from_millis(500);

/// Time that client calls get to end when the server stops.
pub const SHUTDOWN_GRACE: Duration = Duration::from_millis(700);

/// Bytes of a file with certificates, a key or lists of revoked certificates. The largest lists of
/// public authorities have some MiB.
pub const TLS_FILE_BYTES_MAX: u64 = 16 << 20;

/// Lists of revoked certificates of one issuer. Each is a check of a chain's signatures at every
/// handshake.
pub const TLS_ISSUER_LISTS_MAX: usize = 8;

/// Time between two checks of the files with certificates and keys.
pub const WATCHED_FILES_CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// Time that reading the files with certificates or keys may take until it counts as failed.
pub const WATCHED_FILES_READ_MAX: Duration = Duration::from_secs(10);

/// Time that a file of `--log-outputs` may take to open.
pub const LOG_FILE_OPEN_MAX: Duration = Duration::from_secs(5);
