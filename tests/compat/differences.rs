//! Where etcd 3.4, which we compare with, and 3.7, whose API we serve, differ; and how the
//! comparison copes. Nothing else may differ.
//!
//! * `keys_only`: 3.4 shows a key's lease, 3.7 hides it. Masked.
//! * An unknown sort order or target: ignored by 3.4, or a panic of the server; refused by 3.7. Not
//!   generated.
//! * A put into an open-ended deleted range of the same txn: etcd overlooks it; we refuse, since a
//!   key would change twice in one revision. Not generated.
//! * A put in one nested txn, and a delete of it in a later one beside it: etcd overlooks it; we
//!   refuse, for the same reason. Not generated.
//! * A limit with a sort target and no order: etcd sorts what the limit has cut; we cut what the
//!   order has sorted, as with an order. Not generated.
//! * A known field with another field's wire type, and more than 100 unknown groups inside one
//!   another: 3.7 ignores such fields, and 3.4 refuses the first kind. prost refuses both, so the
//!   call ends with INTERNAL. Not generated.
//! * A txn with both a put and a range that cannot be: 3.4 names what is wrong with the put, 3.7
//!   what comes first. Any two of these errors pass for the same; see [`same_refusal`].
//! * An `Alarm` reply has a header since 3.5. Not compared.
//! * `HashKV` at the compaction revision: refused by 3.4, answered by 3.7. Not asked.
//! * A tombstone at the compaction revision: dropped by 3.4, kept by 3.7 (issue 19179). Such
//!   histories are not hashed, and not watched from there.
//! * Fields added since (`hash_revision`, `dbSizeQuota`, `storageVersion`, `downgradeInfo`). Not
//!   compared.
//! * A negative start of a watch: compacted in 3.4, refused by 3.7. Not generated.
//! * The order of lease ids and of a lease's keys: any in 3.4, by expiry and by key here. Sorted.

use conclave_proto::ApiError;
use conclave_proto::etcdserverpb as pb;

/// Takes out of a range reply what the versions answer differently.
pub(crate) fn mask_range(request: &pb::RangeRequest, reply: &mut pb::RangeResponse) {
    if request.keys_only {
        for kv in &mut reply.kvs {
            kv.lease = 0;
        }
    }
}

/// Whether both texts are of errors that a txn's puts and ranges are refused with.
pub(crate) fn same_refusal(ours: &str, theirs: &str) -> bool {
    let of_txn = |text: &str| {
        [
            ApiError::KeyNotFound,
            ApiError::LeaseNotFound,
            ApiError::FutureRev,
            ApiError::Compacted,
        ]
        .iter()
        .any(|error| text.ends_with(error.text()))
    };
    of_txn(ours) && of_txn(theirs)
}
