//! The engine on RocksDB: one instance a store, one column family a space. The only file that names
//! it.
//!
//! Two presets, because the two stores live differently.
//!
//! * **Log**: write-ahead log on, one `fdatasync` for a [`Durability::Synced`] write. `wal.rs`
//!   decides before opening how the write-ahead log's tail is to be read. Entries are written once,
//!   read soon or never, and dropped from the front: small memtables, no compression, hardly any
//!   cache. Column families flush together, so that a rarely written one does not keep old
//!   write-ahead logs alive. Write-ahead logs are not recycled: the engine itself turns recycling
//!   off in the strict recovery mode.
//! * **State**: write-ahead log off; the raft log plays that part. Column families flush
//!   atomically, so what is on disk after a crash is the state as of one batch. LZ4, 16 KiB blocks.
//!   Index and filter blocks are partitioned and live in the block cache, so that memory is what
//!   the configuration says, whatever the number of keys. `Durability::Synced` here means a flush
//!   and is for rare writes only.
//!
//! [`Read::first_in_prefix`] is the hot path: one for each put. It reads through an iterator in
//! prefix mode, where bloom filters over prefixes (in the memtable and in every file) answer "no
//! such key" without touching data. Making the iterator costs as much as using it, so whoever looks
//! up many keys in a row uses one ([`Engine::lookups`]).

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use rocksdb::checkpoint::Checkpoint;
use rocksdb::{
    BlockBasedIndexType, BlockBasedOptions, Cache, ColumnFamily, ColumnFamilyDescriptor, DB,
    DBCompressionType, DBPinnableSlice, DBRawIterator, DBRecoveryMode, Env, ErrorKind,
    FlushOptions, LogLevel, Options, ReadOptions, SliceTransform, Snapshot, WriteBatch,
    WriteOptions,
};

use super::wal::{self, Wal};
use super::{Batch, Direction, Durability, Engine, Op, Read, Scan, Space, prefix};
use crate::fault::Fault;
use crate::files;

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// Added to the niceness of flushes and compactions: see [`start_background_threads`].
const BACKGROUND_NICE: i32 = 5;

/// Table files kept open, unless descriptors are short.
const OPEN_FILES_MAX: i32 = 512;

/// How one instance is tuned. Two presets; nothing else is meant to be combined.
#[derive(Clone, Copy, Debug)]
pub struct RocksOptions {
    wal: bool,
    cache_bytes: usize,
    memtable_bytes: usize,
    compression: bool,
    open_files_max: i32,
}

impl RocksOptions {
    /// Enough for the indexes, the filters and the busy part of a few hundred MiB of data; what
    /// does not fit is in the system's page cache, some microseconds away. It fills with what is
    /// read: writes alone leave a member at about 145 MiB, and reads add no more than this.
    pub const STATE_CACHE_BYTES: usize = 256 * MIB;

    /// For the raft log: durable when a synced write returns.
    pub fn log() -> RocksOptions {
        RocksOptions {
            wal: true,
            cache_bytes: 2 * MIB,
            memtable_bytes: 8 * MIB,
            compression: false,
            open_files_max: OPEN_FILES_MAX,
        }
    }

    /// For the state: durable as of the last flush, at one point in time across all spaces.
    pub fn state(cache_bytes: usize) -> RocksOptions {
        RocksOptions {
            wal: false,
            cache_bytes,
            memtable_bytes: 24 * MIB,
            compression: true,
            open_files_max: OPEN_FILES_MAX,
        }
    }

    /// The same with another bound on the table files that are kept open.
    pub fn open_files(self, max: usize) -> RocksOptions {
        RocksOptions {
            open_files_max: i32::try_from(max).unwrap_or(i32::MAX),
            ..self
        }
    }
}

/// An open RocksDB instance. Dropping it flushes and releases the folder.
pub struct RocksEngine {
    db: DB,
    /// After the instance, which must be closed before its folder goes.
    folder: Folder,
    spaces: &'static [Space],
    wal: bool,
}

/// The folder of an instance that is closed.
struct Folder {
    dir: PathBuf,
    discarded: AtomicBool,
}

impl Drop for Folder {
    fn drop(&mut self) {
        if *self.discarded.get_mut()
            && let Err(error) = std::fs::remove_dir_all(&self.dir)
        {
            let dir = self.dir.display();
            tracing::warn!(%dir, %error, "cannot remove a store that was replaced");
        }
    }
}

impl RocksEngine {
    /// Opens the store in `dir`, making it when it is not there.
    ///
    /// # Errors
    /// [`Fault::InUse`] when another process has it, [`Fault::Damaged`] when what is there does not
    /// check, [`Fault::Engine`] when it cannot be read or written.
    pub fn open(
        dir: &Path,
        spaces: &'static [Space],
        options: RocksOptions,
    ) -> Result<RocksEngine, Fault> {
        start_background_threads();
        files::create_private_folder(dir)?;
        let tail = if options.wal {
            wal::judge(dir)?
        } else {
            Wal::Whole
        };
        if tail == Wal::TornTail {
            tracing::warn!(dir = %dir.display(), "dropping a torn record at the end of the log");
        }
        let cache = Cache::new_lru_cache(options.cache_bytes);
        let families = spaces.iter().map(|space| {
            ColumnFamilyDescriptor::new(space.name, space_options(space, &options, &cache))
        });
        let db = DB::open_cf_descriptors(&instance_options(&options, tail), dir, families)
            .map_err(|e| fault("open", dir, &e))?;
        Ok(RocksEngine {
            db,
            folder: Folder {
                dir: dir.to_owned(),
                discarded: AtomicBool::new(false),
            },
            spaces,
            wal: options.wal,
        })
    }

    fn family(&self, space: Space) -> &ColumnFamily {
        self.db
            .cf_handle(space.name)
            .expect("every space was opened as a column family")
    }

    fn prefix_iterator(&self, space: Space) -> DBRawIterator<'_> {
        self.db
            .raw_iterator_cf_opt(self.family(space), prefix_options())
    }

    fn fault(&self, operation: &'static str, error: &rocksdb::Error) -> Fault {
        fault(operation, &self.folder.dir, error)
    }

    fn property(&self, space: Space, name: &str) -> u64 {
        self.db
            .property_int_value_cf(self.family(space), name)
            .ok()
            .flatten()
            .unwrap_or(0)
    }

    fn flush_memtables(&self) -> Result<(), Fault> {
        let families: Vec<_> = self
            .spaces
            .iter()
            .map(|space| self.family(*space))
            .collect();
        let mut options = FlushOptions::default();
        options.set_wait(true);
        self.db
            .flush_cfs_opt(&families, &options)
            .map_err(|e| self.fault("flush", &e))
    }
}

/// Starts the threads that flush and compact, once for all instances of the process, with less
/// priority than those that serve. Members run on small machines: where processors are short,
/// requests go first, and this work, which can wait for seconds, gets a third of an equal share.
/// (RocksDB itself knows only 19, the least there is, with which it would fall behind.)
fn start_background_threads() {
    static STARTED: Once = Once::new();
    STARTED.call_once(|| {
        // A thread inherits its priority from the one that starts it, which cannot raise its own
        // again; so that one is made for the purpose.
        let start = || -> Result<(), String> {
            rustix::process::nice(BACKGROUND_NICE).map_err(|error| error.to_string())?;
            let mut env = Env::new().map_err(|error| error.to_string())?;
            env.set_background_threads(1);
            env.set_high_priority_background_threads(1);
            Ok(())
        };
        let started = std::thread::scope(|scope| scope.spawn(start).join());
        if let Ok(Err(error)) = started {
            tracing::warn!(
                error,
                "flushes and compactions run with the priority of requests"
            );
        }
    });
}

fn instance_options(options: &RocksOptions, tail: Wal) -> Options {
    let mut db = Options::default();
    db.create_if_missing(true);
    db.create_missing_column_families(true);
    db.set_atomic_flush(true);
    db.set_wal_recovery_mode(match tail {
        Wal::Whole => DBRecoveryMode::AbsoluteConsistency,
        Wal::TornTail => DBRecoveryMode::PointInTime,
    });
    // A closed write-ahead log that has gone, or is shorter than when it was synced, is an error.
    db.set_track_and_verify_wals_in_manifest(options.wal);
    // One thread writes, so concurrent inserts would only cost their atomics.
    db.set_allow_concurrent_memtable_write(false);
    // One flush and one compaction at a time, as many as there are threads for.
    db.set_max_background_jobs(2);
    // Write files out as they grow, so that the sync at their end does not hold up the log's syncs.
    db.set_bytes_per_sync(MIB as u64);
    // Bounds descriptors. Files beyond it are reopened as they are read.
    db.set_max_open_files(options.open_files_max);
    db.set_log_level(LogLevel::Warn);
    db.set_keep_log_file_num(2);
    db.set_max_log_file_size(4 * MIB);
    db.set_stats_dump_period_sec(0);
    db.set_stats_persist_period_sec(0);
    db
}

fn space_options(space: &Space, options: &RocksOptions, cache: &Cache) -> Options {
    let mut family = Options::default();
    let mut table = BlockBasedOptions::default();
    table.set_block_cache(cache);
    table.set_block_size(16 * KIB);
    table.set_bloom_filter(10.0, false);
    table.set_cache_index_and_filter_blocks(true);
    table.set_cache_index_and_filter_blocks_with_high_priority(true);
    table.set_pin_l0_filter_and_index_blocks_in_cache(true);
    if !options.wal {
        // Of a file of 64 MiB with long keys the index alone is 1 MiB, to be loaded whole for one
        // read. In partitions it is 4 KiB; that costs 2 us a read while everything fits into memory
        // anyway.
        table.set_index_type(BlockBasedIndexType::TwoLevelIndexSearch);
        table.set_partition_filters(true);
        table.set_metadata_block_size(4 * KIB);
        table.set_pin_top_level_index_and_filter(true);
    }
    if let Some(extractor) = prefix_extractor(space) {
        family.set_prefix_extractor(extractor);
        // The prefix filter serves reads of whole keys as well; a second one for them is not worth
        // its bytes.
        table.set_whole_key_filtering(false);
        family.set_memtable_prefix_bloom_ratio(0.02);
    }
    family.set_block_based_table_factory(&table);
    family.set_write_buffer_size(options.memtable_bytes);
    family.set_max_write_buffer_number(3);
    if options.wal {
        // What is in the log's files is deleted soon, oldest first, and hardly ever read: merging
        // them early would be work for nothing. Some 128 MiB of entries are kept at most times, so
        // of 40 files of 8 MiB two thirds are dropped without having been written twice.
        family.set_level_zero_file_num_compaction_trigger(40);
        family.set_level_zero_slowdown_writes_trigger(80);
        family.set_level_zero_stop_writes_trigger(120);
    }
    family.set_compression_type(match options.compression {
        true => DBCompressionType::Lz4,
        false => DBCompressionType::None,
    });
    family
}

/// Spaces whose prefixes are filtered. For a suffix of another length `first_in_prefix` is right
/// but slower: the extractor is a plain function, so its length must be known when this is
/// compiled.
fn prefix_extractor(space: &Space) -> Option<SliceTransform> {
    fn without_suffix(key: &[u8]) -> &[u8] {
        &key[..key.len() - 8]
    }
    fn has_suffix(key: &[u8]) -> bool {
        key.len() >= 8
    }
    (space.suffix_len == Some(8))
        .then(|| SliceTransform::create("conclave.suffix8", without_suffix, Some(has_suffix)))
}

fn fault(operation: &'static str, dir: &Path, error: &rocksdb::Error) -> Fault {
    let detail = error.to_string();
    let path = dir.to_owned();
    let hint = match error.kind() {
        // Of the last two is what another version wrote.
        ErrorKind::Corruption | ErrorKind::NotSupported | ErrorKind::InvalidArgument => {
            return Fault::Damaged {
                path,
                detail: format!("{operation}: {detail}"),
            };
        }
        ErrorKind::IOError if is_lock_held(&detail) => return Fault::InUse { path },
        ErrorKind::IOError if is_read(operation) && is_missing(&detail) => {
            return Fault::Damaged {
                path,
                detail: format!("{operation}: {detail}"),
            };
        }
        _ if detail.contains("No space left on device") => {
            "the disk is full; make room and restart: "
        }
        _ if detail.contains("Permission denied") => "this user may not write here: ",
        _ if detail.contains("Read-only file system") => "the file system is read-only: ",
        _ => "",
    };
    Fault::Engine {
        operation,
        path,
        detail: format!("{hint}{detail}"),
    }
}

/// Held by this process ("lock hold by current process") or by another ("While lock file: ...
/// Resource temporarily unavailable").
fn is_lock_held(detail: &str) -> bool {
    detail.contains("lock hold by current process")
        || (detail.contains("While lock file")
            && detail.contains("Resource temporarily unavailable"))
}

/// Not all files are looked at when a store is opened.
fn is_read(operation: &str) -> bool {
    matches!(operation, "open" | "read")
}

/// One of the store's files names another that is not there. The disk has read what it was asked
/// for, so it is not the disk that fails.
fn is_missing(detail: &str) -> bool {
    detail.contains("No such file or directory") || detail.contains("Not a directory")
}

fn bytes_of(value: Option<DBPinnableSlice<'_>>) -> Option<Bytes> {
    value.map(|pinned| Bytes::copy_from_slice(&pinned))
}

fn prefix_options() -> ReadOptions {
    let mut options = ReadOptions::default();
    options.set_prefix_same_as_start(true);
    options
}

fn seek_in_prefix(
    iterator: &mut DBRawIterator<'_>,
    space: Space,
    from: &[u8],
) -> Result<Option<(Bytes, Bytes)>, rocksdb::Error> {
    let wanted = prefix(space, from);
    iterator.seek(from);
    match iterator.item() {
        Some((key, value)) if prefix(space, key) == wanted => Ok(Some((
            Bytes::copy_from_slice(key),
            Bytes::copy_from_slice(value),
        ))),
        Some(_) => Ok(None),
        None => iterator.status().map(|()| None),
    }
}

fn scan_options(from: &[u8], to: Option<&[u8]>) -> ReadOptions {
    let mut options = ReadOptions::default();
    options.set_total_order_seek(true);
    options.set_iterate_lower_bound(from);
    if let Some(to) = to {
        options.set_iterate_upper_bound(to);
    }
    options
}

impl Read for RocksEngine {
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Bytes>, Fault> {
        let value = self.db.get_pinned_cf(self.family(space), key);
        Ok(bytes_of(value.map_err(|e| self.fault("read", &e))?))
    }

    fn first_in_prefix(&self, space: Space, from: &[u8]) -> Result<Option<(Bytes, Bytes)>, Fault> {
        let mut iterator = self.prefix_iterator(space);
        seek_in_prefix(&mut iterator, space, from).map_err(|e| self.fault("read", &e))
    }

    fn scan<'a>(
        &'a self,
        space: Space,
        from: &[u8],
        to: Option<&[u8]>,
        direction: Direction,
    ) -> Result<Box<dyn Scan + 'a>, Fault> {
        let iterator = self
            .db
            .raw_iterator_cf_opt(self.family(space), scan_options(from, to));
        Ok(RocksScan::boxed(self, iterator, from, to, direction))
    }
}

/// A frozen view.
struct RocksSnapshot<'a> {
    engine: &'a RocksEngine,
    snapshot: Snapshot<'a>,
}

impl Read for RocksSnapshot<'_> {
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Bytes>, Fault> {
        let value = self.snapshot.get_pinned_cf(self.engine.family(space), key);
        Ok(bytes_of(value.map_err(|e| self.engine.fault("read", &e))?))
    }

    fn first_in_prefix(&self, space: Space, from: &[u8]) -> Result<Option<(Bytes, Bytes)>, Fault> {
        let family = self.engine.family(space);
        let mut iterator = self.snapshot.raw_iterator_cf_opt(family, prefix_options());
        seek_in_prefix(&mut iterator, space, from).map_err(|e| self.engine.fault("read", &e))
    }

    fn scan<'a>(
        &'a self,
        space: Space,
        from: &[u8],
        to: Option<&[u8]>,
        direction: Direction,
    ) -> Result<Box<dyn Scan + 'a>, Fault> {
        let family = self.engine.family(space);
        let iterator = self
            .snapshot
            .raw_iterator_cf_opt(family, scan_options(from, to));
        Ok(RocksScan::boxed(self.engine, iterator, from, to, direction))
    }
}

/// The newest state, with an iterator that is used again.
struct RocksLookups<'a> {
    engine: &'a RocksEngine,
    /// For lookups in this space; as of the first of them.
    iterator: RefCell<Option<(Space, DBRawIterator<'a>)>>,
}

impl Read for RocksLookups<'_> {
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Bytes>, Fault> {
        self.engine.get(space, key)
    }

    fn first_in_prefix(&self, space: Space, from: &[u8]) -> Result<Option<(Bytes, Bytes)>, Fault> {
        let mut kept = self.iterator.borrow_mut();
        // One for another space goes.
        kept.take_if(|(of, _)| of.position != space.position);
        let (_, iterator) = kept.get_or_insert_with(|| (space, self.engine.prefix_iterator(space)));
        seek_in_prefix(iterator, space, from).map_err(|e| self.engine.fault("read", &e))
    }

    fn scan<'a>(
        &'a self,
        space: Space,
        from: &[u8],
        to: Option<&[u8]>,
        direction: Direction,
    ) -> Result<Box<dyn Scan + 'a>, Fault> {
        self.engine.scan(space, from, to, direction)
    }
}

struct RocksScan<'a> {
    engine: &'a RocksEngine,
    iterator: DBRawIterator<'a>,
    direction: Direction,
    /// A backward seek to or above this must start at the end: the bound itself is outside.
    to: Option<Vec<u8>>,
    /// Nothing lies between the bounds; the engine does not like bounds that are the wrong way
    /// round.
    empty: bool,
    /// The iterator stands on the pair the following `next` returns, not on the one returned last.
    fresh: bool,
}

impl<'a> RocksScan<'a> {
    fn boxed(
        engine: &'a RocksEngine,
        mut iterator: DBRawIterator<'a>,
        from: &[u8],
        to: Option<&[u8]>,
        direction: Direction,
    ) -> Box<dyn Scan + 'a> {
        let empty = to.is_some_and(|to| to <= from);
        if !empty {
            match direction {
                Direction::Forward => iterator.seek(from),
                Direction::Backward => iterator.seek_to_last(),
            }
        }
        let to = to.map(<[u8]>::to_vec);
        Box::new(RocksScan {
            engine,
            iterator,
            direction,
            to,
            empty,
            fresh: true,
        })
    }
}

impl Scan for RocksScan<'_> {
    fn next(&mut self) -> Result<Option<(&[u8], &[u8])>, Fault> {
        if self.empty {
            return Ok(None);
        }
        if !std::mem::replace(&mut self.fresh, false) {
            match self.direction {
                Direction::Forward => self.iterator.next(),
                Direction::Backward => self.iterator.prev(),
            }
        }
        if !self.iterator.valid() {
            self.iterator
                .status()
                .map_err(|e| self.engine.fault("read", &e))?;
        }
        Ok(self.iterator.item())
    }

    fn seek(&mut self, key: &[u8]) -> Result<(), Fault> {
        if self.empty {
            return Ok(());
        }
        match self.direction {
            Direction::Forward => self.iterator.seek(key),
            Direction::Backward if self.to.as_deref().is_some_and(|to| key >= to) => {
                self.iterator.seek_to_last();
            }
            Direction::Backward => self.iterator.seek_for_prev(key),
        }
        self.fresh = true;
        Ok(())
    }
}

impl Engine for RocksEngine {
    fn write(&self, batch: Batch, durability: Durability) -> Result<(), Fault> {
        let mut writes = WriteBatch::default();
        for op in &batch.ops {
            match op {
                Op::Put(space, key, value) => writes.put_cf(self.family(*space), key, value),
                Op::Delete(space, key) => writes.delete_cf(self.family(*space), key),
                // The engine refuses a range that ends before it begins; here it is just empty.
                Op::DeleteRange(_, from, to) if from >= to => {}
                Op::DeleteRange(space, from, to) => {
                    writes.delete_range_cf(self.family(*space), from, to);
                }
            }
        }
        let synced = durability == Durability::Synced;
        let mut options = WriteOptions::default();
        options.disable_wal(!self.wal);
        options.set_sync(self.wal && synced);
        self.db
            .write_opt(writes, &options)
            .map_err(|e| self.fault("write", &e))?;
        if synced && !self.wal {
            self.flush_memtables()?;
        }
        Ok(())
    }

    fn snapshot(&self) -> Box<dyn Read + '_> {
        Box::new(RocksSnapshot {
            engine: self,
            snapshot: self.db.snapshot(),
        })
    }

    fn lookups(&self) -> Box<dyn Read + '_> {
        Box::new(RocksLookups {
            engine: self,
            iterator: RefCell::default(),
        })
    }

    fn flush(&self) -> Result<(), Fault> {
        match self.wal {
            true => self.db.flush_wal(true).map_err(|e| self.fault("sync", &e)),
            false => self.flush_memtables(),
        }
    }

    fn checkpoint(&self, dir: &Path) -> Result<(), Fault> {
        Checkpoint::new(&self.db)
            .and_then(|checkpoint| checkpoint.create_checkpoint(dir))
            .map_err(|e| fault("checkpoint", dir, &e))
    }

    fn reclaim(&self) -> Result<(), Fault> {
        self.flush_memtables()?;
        for space in self.spaces {
            self.db
                .compact_range_cf(self.family(*space), None::<&[u8]>, None::<&[u8]>);
        }
        Ok(())
    }

    fn discard(&self) {
        self.folder.discarded.store(true, Ordering::Relaxed);
    }

    fn size_on_disk(&self) -> u64 {
        let of = |space: &Space| {
            self.property(*space, "rocksdb.live-sst-files-size")
                + self.property(*space, "rocksdb.cur-size-all-mem-tables")
        };
        self.spaces.iter().map(of).sum()
    }
}

#[cfg(test)]
mod tests;
