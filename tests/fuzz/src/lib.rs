//! Fuzzing: a member answers or refuses any input and never ends, and its disk yields the same
//! state when it is read again.
//!
//! A *target* ([`target::TARGETS`]) takes bytes and passes them to a part of the product, or to a
//! whole member: as a message of the API, as a connection, as traffic of other members, as log
//! entries, as a snapshot. Most targets also read the bytes as *structure*, as choices that build a
//! sequence of requests or messages, which gets further than noise ([`source`]).
//!
//! Two runners pass inputs to a target. The short one (`short.rs`, a part of `make test`) uses all
//! kept inputs and a limited number of mutations of them. The long one (`long.rs`, `make fuzz`) is
//! LLVM's libFuzzer, which keeps inputs that reach new code.
//!
//! Kept inputs are in `seeds/`, inputs that once showed a fault or reach code that is hard to
//! reach, each with its story, and in `corpus/`, the smallest inputs that together reach all code
//! the long runs have reached.

pub mod api;
pub mod calls;
pub mod connections;
pub mod corpus;
pub mod entries;
pub mod frames;
pub mod member;
pub mod messages;
pub mod mutate;
pub mod panics;
pub mod peers;
pub mod raft;
pub mod requests;
pub mod snapshots;
pub mod source;
pub mod target;
