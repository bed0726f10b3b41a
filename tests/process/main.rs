//! The real binary: killed, stopped, misconfigured, on damaged and on full disks.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod audit;
mod auto_compaction;
mod certificate_users;
mod client;
mod data_dir;
mod disk_full;
mod failed_sync;
mod flags;
mod foreign;
mod formats;
mod kills;
mod load_generator;
mod log_files;
mod metrics;
mod monitoring;
mod poisoned;
mod reload;
mod secrets;
mod service_manager;
mod socket;
mod stalled;
mod start_lines;
mod stop;
mod tls;
mod traces;
mod web_tokens;
