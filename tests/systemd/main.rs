//! The systemd units, as `make install` installs them: checked by systemd's own tools, and used on
//! a machine that systemd has booted ([`machine`]).
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod cluster;
mod install;
mod machine;
mod member;
mod runbook;
mod units;
