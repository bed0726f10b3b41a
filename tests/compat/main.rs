//! Beside real etcd: the same questions to both, the same answers from both.
//!
//! * [`differential`] sends seeded random requests, valid and not, to both and compares whole
//!   replies.
//! * [`etcdctl`] runs Debian's `etcdctl` against both and compares what it prints.
//!
//! Both need etcd and etcdctl 3.4 in `/usr/bin`. What 3.4 does otherwise than 3.7, and we with
//! 3.7, is in one list, [`differences`], each with its reason.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod differences;
mod differential;
mod etcdctl;
mod generate;
mod mask;
