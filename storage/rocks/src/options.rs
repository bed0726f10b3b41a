//! The settings of an instance: two presets, and what they mean in RocksDB's options.

use conclave_storage::engine::Space;
use rocksdb::{
    BlockBasedIndexType, BlockBasedOptions, Cache, DBCompressionType, DBRecoveryMode, LogLevel,
    Options, SliceTransform,
};

use crate::wal::Wal;

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// Table files kept open, unless descriptors are short.
const OPEN_FILES_MAX: i32 = 512;

/// Tuning of one instance. There are two presets; other combinations are not supported.
#[derive(Clone, Copy, Debug)]
pub struct RocksOptions {
    pub(crate) wal: bool,
    pub(crate) cache_bytes: usize,
    memtable_bytes: usize,
    compression: bool,
    open_files_max: i32,
}

impl RocksOptions {
    /// Default block cache of the state: holds the indexes, the filters and the busy part of a few
    /// hundred MiB of data. Blocks that do not fit are usually in the system's page cache, some
    /// microseconds away. Reads fill the cache: writes alone leave a member at about 145 MiB, and
    /// reads add no more than this.
    pub const STATE_CACHE_BYTES: usize = 256 * MIB;

    /// Preset for the raft log: a synced write is durable when it returns.
    pub fn log() -> RocksOptions {
        RocksOptions {
            wal: true,
            cache_bytes: 2 * MIB,
            memtable_bytes: 8 * MIB,
            compression: false,
            open_files_max: OPEN_FILES_MAX,
        }
    }

    /// Preset for the state: durable as of the last flush, at the same batch in all spaces.
    pub fn state(cache_bytes: usize) -> RocksOptions {
        RocksOptions {
            wal: false,
            cache_bytes,
            memtable_bytes: 24 * MIB,
            compression: true,
            open_files_max: OPEN_FILES_MAX,
        }
    }

    /// Replaces the bound on table files that are kept open.
    pub fn open_files(self, max: usize) -> RocksOptions {
        RocksOptions {
            open_files_max: i32::try_from(max).unwrap_or(i32::MAX),
            ..self
        }
    }
}

impl RocksOptions {
    /// The options of the instance. `tail` is the verdict on its write-ahead log.
    pub(crate) fn instance(&self, tail: Wal) -> Options {
        let mut db = Options::default();
        db.create_if_missing(true);
        db.create_missing_column_families(true);
        db.set_atomic_flush(true);
        db.set_wal_recovery_mode(match tail {
            Wal::Whole => DBRecoveryMode::AbsoluteConsistency,
            Wal::TornTail => DBRecoveryMode::PointInTime,
        });
        // Opening fails when a closed write-ahead log is missing, or shorter than when it was
        // synced.
        db.set_track_and_verify_wals_in_manifest(self.wal);
        // One thread writes, so concurrent inserts would only cost their atomics.
        db.set_allow_concurrent_memtable_write(false);
        // One flush and one compaction at a time, as many as there are threads for.
        db.set_max_background_jobs(2);
        // Write files out as they grow, so that the sync at their end does not hold up the log's
        // syncs.
        db.set_bytes_per_sync(MIB as u64);
        // Bounds file descriptors. Table files beyond the bound are reopened when they are read.
        db.set_max_open_files(self.open_files_max);
        db.set_log_level(LogLevel::Warn);
        db.set_keep_log_file_num(2);
        db.set_max_log_file_size(4 * MIB);
        db.set_stats_dump_period_sec(0);
        db.set_stats_persist_period_sec(0);
        db
    }

    /// The options of the column family for `space`.
    pub(crate) fn family(&self, space: &Space, cache: &Cache) -> Options {
        let mut family = Options::default();
        let mut table = BlockBasedOptions::default();
        table.set_block_cache(cache);
        table.set_block_size(16 * KIB);
        table.set_bloom_filter(10.0, false);
        table.set_cache_index_and_filter_blocks(true);
        table.set_cache_index_and_filter_blocks_with_high_priority(true);
        table.set_pin_l0_filter_and_index_blocks_in_cache(true);
        if !self.wal {
            // A file of 64 MiB with long keys has an index of 1 MiB, which one read would load
            // whole. A partition is 4 KiB. The price is 2 us per read while everything fits into
            // memory.
            table.set_index_type(BlockBasedIndexType::TwoLevelIndexSearch);
            table.set_partition_filters(true);
            table.set_metadata_block_size(4 * KIB);
            table.set_pin_top_level_index_and_filter(true);
        }
        if let Some(extractor) = prefix_extractor(space) {
            family.set_prefix_extractor(extractor);
            // The prefix filter also serves reads of whole keys; a second filter for those is not
            // worth its bytes.
            table.set_whole_key_filtering(false);
            family.set_memtable_prefix_bloom_ratio(0.02);
        }
        family.set_block_based_table_factory(&table);
        family.set_write_buffer_size(self.memtable_bytes);
        family.set_max_write_buffer_number(3);
        if self.wal {
            // Entries are deleted soon, oldest first, and hardly ever read, so merging the log's
            // files early would be wasted work. About 128 MiB of entries are kept at most times, so
            // of 40 files of 8 MiB two thirds are dropped without having been written twice.
            family.set_level_zero_file_num_compaction_trigger(40);
            family.set_level_zero_slowdown_writes_trigger(80);
            family.set_level_zero_stop_writes_trigger(120);
        }
        family.set_compression_type(match self.compression {
            true => DBCompressionType::Lz4,
            false => DBCompressionType::None,
        });
        family
    }
}

/// The prefix extractor of a space with a suffix of 8 bytes. The extractor is a plain function, so
/// the length is fixed at compile time. In spaces with a suffix of another length `first_in_prefix`
/// is correct but has no filter, so it is slower.
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
