//! Conclave's messages: on the wire, in the log and between members.
//!
//! There are three sets, each written as `.proto` and compiled by `build.rs`:
//!
//! - the public API, etcd v3's, in [`etcdserverpb`], [`mvccpb`], [`authpb`], [`v3lockpb`] and
//!   [`v3electionpb`] (sources in `etcd/`);
//! - the log entry, in [`command`], which wraps the API's own requests;
//! - the protocol between members, in [`peer`] (both in `conclave/`).
//!
//! [`errors`] has the API's errors: their texts are as much a part of the contract as its field
//! numbers, since clients match on them.
//!
//! Every `bytes` field is a [`bytes::Bytes`], so that a decoded request shares its buffer with the
//! message it came in. The feature `grpc` (on by default) adds client and server code for the
//! services; without it the crate has only messages and does not depend on tonic.

pub mod errors;

mod txn;

pub use errors::{ApiError, Code};
pub use txn::TXN_LEVELS_MAX;

/// The public packages as an encoded `google.protobuf.FileDescriptorSet`, comments included: for
/// gRPC reflection and the JSON gateway. The `conclave` packages are not in it.
pub const FILE_DESCRIPTOR_SET: &[u8] =
    include_bytes!(concat!(env!("OUT_DIR"), "/etcd.descriptors"));

/// Declares a module with the code generated for a package and the package's handwritten parts. The
/// code names other packages with one `super::` for each part of its own name, so modules must be
/// nested as packages are.
macro_rules! generated {
    ($(#[$doc:meta])* $module:ident, $package:literal $(, $by_hand:item)?) => {
        $(#[$doc])*
        pub mod $module {
            #![allow(missing_docs, unreachable_pub, clippy::all, clippy::unwrap_used)]
            include!(concat!(env!("OUT_DIR"), "/", $package, ".rs"));
            $($by_hand)?
        }
    };
}

generated!(
    /// Keys, values and events (`etcd/kv.proto`).
    mvccpb,
    "mvccpb"
);
generated!(
    /// Users, roles and permissions (`etcd/auth.proto`).
    authpb,
    "authpb"
);
generated!(
    /// KV, Watch, Lease, Cluster, Maintenance and Auth (`etcd/rpc.proto`).
    etcdserverpb,
    "etcdserverpb",
    pub use crate::txn::TxnRequest;
);
generated!(
    /// Locks (`etcd/lock.proto`).
    v3lockpb,
    "v3lockpb"
);
generated!(
    /// Elections (`etcd/election.proto`).
    v3electionpb,
    "v3electionpb"
);

pub use conclave::{command, peer};

mod conclave {
    generated!(
        /// A log entry (`conclave/command.proto`).
        command,
        "conclave.command"
    );
    generated!(
        /// The protocol between members (`conclave/peer.proto`).
        peer,
        "conclave.peer"
    );
}
