//! The storage engine on RocksDB: one instance per store, one column family per space. The only
//! crate that links C++.
//!
//! [`RocksEngine`] implements [`conclave_storage::engine::Engine`]. It passes the same conformance
//! suite as the engine in memory (`storage/tests/shared/conformance.rs`), so what is proved on that
//! engine in simulation holds here.
//!
//! ```
//! use conclave_rocks::{RocksEngine, RocksOptions};
//! use conclave_storage::engine::{Batch, Durability, Engine, Read};
//! use conclave_storage::layout::LOG_SPACES;
//!
//! let dir = tempfile::tempdir()?;
//! let engine = RocksEngine::open(dir.path(), LOG_SPACES, RocksOptions::log())?;
//! let space = LOG_SPACES[0];
//! let mut batch = Batch::default();
//! batch.put(space, "key", "value");
//! engine.write(batch, Durability::Synced)?;
//! assert_eq!(engine.get(space, b"key")?.unwrap(), "value");
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```
//!
//! A member has two stores with different needs, so there are two presets:
//!
//! * **Log** ([`RocksOptions::log`]): write-ahead log on, one `fdatasync` for a
//!   [`Durability::Synced`] write. `wal.rs` decides before opening how to read the tail of the
//!   write-ahead log. Entries are written once, read soon or never, and dropped from the front:
//!   small memtables, no compression, hardly any cache. Column families flush together, so that a
//!   rarely written one does not keep old write-ahead logs alive. Write-ahead logs are not
//!   recycled: RocksDB turns recycling off in the strict recovery mode.
//! * **State** ([`RocksOptions::state`]): write-ahead log off, because the raft log plays that
//!   part. Column families flush atomically, so after a crash the disk holds the state as of one
//!   batch. LZ4, 16 KiB blocks. Index and filter blocks are partitioned and live in the block
//!   cache, so the configuration bounds memory, whatever the number of keys.
//!   [`Durability::Synced`] here means a flush and is for rare writes only.
//!
//! Invariants:
//!
//! * A batch is on disk in all its column families or in none, also after a crash.
//! * A log does not open ([`Fault::Damaged`]) if a record before its last one is damaged, because
//!   that record was acknowledged.
//! * The folder of a discarded instance is removed only after the instance is closed.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use conclave_storage::engine::{Batch, Durability, Engine, Op, Read, Space};
use conclave_storage::{Fault, files};
use rocksdb::checkpoint::Checkpoint;
use rocksdb::{
    Cache, ColumnFamily, ColumnFamilyDescriptor, DB, FlushOptions, WriteBatch, WriteOptions,
};

use read::{RocksLookups, RocksSnapshot};
use wal::Wal;

mod background;
mod fault;
mod options;
mod read;
#[cfg(test)]
mod tests;
mod wal;

pub use options::RocksOptions;

/// An open RocksDB instance. Dropping it flushes, and releases the lock on its folder.
pub struct RocksEngine {
    db: DB,
    /// Declared after `db`: fields drop in order, and the instance must be closed before its folder
    /// is removed.
    folder: Folder,
    spaces: &'static [Space],
    wal: bool,
}

/// The folder of an instance. Dropping it removes the folder if the store was discarded.
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
    /// Opens the store in `dir`, and creates it if `dir` is absent or empty.
    ///
    /// # Errors
    /// [`Fault::InUse`] when the folder is locked by another engine, [`Fault::Damaged`] when its
    /// contents fail their checks, [`Fault::Engine`] when it cannot be read or written.
    pub fn open(
        dir: &Path,
        spaces: &'static [Space],
        options: RocksOptions,
    ) -> Result<RocksEngine, Fault> {
        background::start_background_threads();
        files::create_private_folder(dir)?;
        let tail = if options.wal {
            wal::judge(dir)?
        } else {
            Wal::Whole
        };
        if tail == Wal::TornTail {
            tracing::warn!(dir = %dir.display(), "dropping a torn record at the end of the log");
        }
        // Without a lock on each lookup. The size of an entry is found out by the cache itself.
        let cache = Cache::new_hyper_clock_cache(options.cache_bytes, 0);
        let families = spaces
            .iter()
            .map(|space| ColumnFamilyDescriptor::new(space.name, options.family(space, &cache)));
        let db = DB::open_cf_descriptors(&options.instance(tail), dir, families)
            .map_err(|e| fault::from_rocks("open", dir, &e))?;
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

    fn fault(&self, operation: &'static str, error: &rocksdb::Error) -> Fault {
        fault::from_rocks(operation, &self.folder.dir, error)
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

impl Engine for RocksEngine {
    fn write(&self, batch: Batch, durability: Durability) -> Result<(), Fault> {
        let mut writes = WriteBatch::default();
        for op in &batch.ops {
            match op {
                Op::Put(space, key, value) => writes.put_cf(self.family(*space), key, value),
                Op::Delete(space, key) => writes.delete_cf(self.family(*space), key),
                // RocksDB refuses a range that ends before it begins. `Op` calls it empty.
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
        Box::new(RocksSnapshot::new(self))
    }

    fn lookups(&self) -> Box<dyn Read + '_> {
        Box::new(RocksLookups::new(self))
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
            .map_err(|e| fault::from_rocks("checkpoint", dir, &e))
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
