//! Comparison with a real etcd: the same requests to both, the same replies from both.
//!
//! * [`differential`] sends seeded random requests, valid and not, to both and compares whole
//!   replies.
//! * [`etcdctl`] runs Debian's `etcdctl` against both and compares its output.
//!
//! Both need etcd and etcdctl 3.4 in `/usr/bin`. [`differences`] lists where 3.4 differs from 3.7,
//! which we follow, with the handling of each.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod differences;
mod differential;
mod etcdctl;
mod generate;
mod mask;
