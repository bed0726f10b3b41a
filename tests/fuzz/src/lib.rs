//! Fuzzing: whatever comes, a member answers or refuses; it never ends, and what it has on disk
//! says the same when it is read again.
//!
//! A *target* ([`target::TARGETS`]) takes bytes and gives them to a part of the product, or to a
//! whole member: as a message of the API, as a connection, as what other members send, as entries
//! of the log, as a snapshot. Most read the bytes as *structure* too: as choices of which a
//! sequence of requests or messages is made that gets further than noise would ([`source`]).
//!
//! Two runners give inputs to a target. The short one (`short.rs`, a part of `make test`) gives it
//! all that is kept and a bounded number of inputs made of that. The long one (`long.rs`, `make
//! fuzz`) is LLVM's libFuzzer, which keeps what reaches new code.
//!
//! What is kept: `seeds/`, inputs that once showed a fault or lead to a place that is hard to find,
//! each with its story; and `corpus/`, the smallest inputs that together reach what the long runs
//! have reached.

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
