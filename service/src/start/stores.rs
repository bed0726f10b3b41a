//! Opens the two stores in a member's data directory.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use conclave_core::clock::Stopwatch;
use conclave_core::stores::Opened;
use conclave_rocks::{RocksEngine, RocksOptions};
use conclave_storage::machine::Limits;
use conclave_storage::state_store::StateFolders;
use conclave_storage::{Fault, convert, layout};

use crate::config::Config;
use crate::descriptors::Budget;
use crate::service_manager;

/// Time between two lines of the log about a conversion.
const CONVERSION_REPORTS: Duration = Duration::from_secs(5);

/// Opens the configured directory, or creates it.
pub(crate) fn open(config: &Config) -> Result<Opened, Fault> {
    let member_dir = config.member_dir();
    layout::check_or_create_version(&member_dir)?;
    layout::refuse_etcds(&config.log_dir())?;
    warn_of_readers(config);
    let open_files = Budget::current().store_files;
    let options = RocksOptions::log().open_files(open_files);
    let log = RocksEngine::open(&config.log_dir(), layout::LOG_SPACES, options)?;
    let cache_bytes = usize::try_from(config.state_cache_bytes).unwrap_or(usize::MAX);
    let states = StateFolders::new(member_dir, move |dir| {
        let options = RocksOptions::state(cache_bytes).open_files(open_files);
        let engine = RocksEngine::open(dir, layout::STATE_SPACES, options)?;
        convert(dir, &engine)?;
        Ok(Arc::new(engine))
    });
    let rows = usize::try_from(config.compaction_batch_limit).unwrap_or(usize::MAX);
    let limits = Limits {
        compaction_rows: rows,
    };
    let opened = Opened::on(Arc::new(log), Arc::new(states), limits)?;
    Ok(opened.skipping(config.skip_log_entries.clone()))
}

/// Converts a state of an older format, the member's own or one that another member sent.
fn convert(dir: &Path, engine: &RocksEngine) -> Result<(), Fault> {
    let begun = Stopwatch::start();
    let mut reported = Duration::ZERO;
    let mut converted = None;
    convert::to_current(engine, &mut |keys| {
        let elapsed = begun.elapsed();
        if converted.is_none() || elapsed - reported >= CONVERSION_REPORTS {
            reported = elapsed;
            service_manager::report_progress();
            tracing::info!(dir = %dir.display(), keys, "converting the data to the current format");
        }
        converted = Some(keys);
    })?;
    if let Some(keys) = converted {
        let seconds = begun.elapsed().as_secs_f64();
        tracing::info!(dir = %dir.display(), keys, seconds, "the data has the current format");
    }
    Ok(())
}

/// Warns if other users can read the data. The program creates folders for its user alone. It does
/// not change the mode of folders that an operator or an earlier release made, since other users
/// may be meant to read them.
fn warn_of_readers(config: &Config) {
    let is_open = |dir: &Path| {
        let mode = dir.metadata().map(|data| data.permissions().mode());
        mode.is_ok_and(|mode| mode & 0o077 != 0)
    };
    let member_dir = config.member_dir();
    let member = (is_open(&config.data_dir) && is_open(&member_dir)).then_some(&member_dir);
    let log = config.wal_dir.as_ref().filter(|dir| is_open(dir));
    for dir in member.into_iter().chain(log) {
        let dir = dir.display();
        tracing::warn!(%dir, "other users can read this member's data: run chmod 700 on it");
    }
}
