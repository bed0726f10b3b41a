//! Differences between etcd 3.4, which we compare with, and 3.7, whose API we serve, and how the
//! comparison handles each. There must be no others.
//!
//! * `keys_only`: 3.4 returns a key's lease, 3.7 omits it. Masked.
//! * An unknown sort order or target: ignored by 3.4, or a panic of the server; refused by 3.7. Not
//!   generated.
//! * A put into an open-ended deleted range of the same txn: etcd overlooks it; we refuse, since a
//!   key would change twice in one revision. Not generated.
//! * A put in one nested txn, and a delete of the same key in a later nested txn at the same level:
//!   etcd overlooks it; we refuse, for the same reason. Not generated.
//! * A limit with a sort target and no order: etcd sorts after it applies the limit; we sort first,
//!   as with an order. Not generated.
//! * A known field with another field's wire type, and more than 100 unknown groups inside one
//!   another: 3.7 ignores such fields, and 3.4 refuses the first kind. prost refuses both, so the
//!   call ends with INTERNAL. Not generated.
//! * A txn with both an invalid put and an invalid range: 3.4 reports the error of the put, 3.7 the
//!   first error. Any two of these errors count as equal; see [`same_refusal`].
//! * An `Alarm` reply has a header since 3.5. Not compared.
//! * `HashKV` at the compaction revision: refused by 3.4, answered by 3.7. Not requested.
//! * A tombstone at the compaction revision: dropped by 3.4, kept by 3.7 (issue 19179). Such
//!   histories are not hashed, and not watched from there.
//! * Fields added since (`hash_revision`, `dbSizeQuota`, `storageVersion`, `downgradeInfo`). Not
//!   compared.
//! * A negative start revision of a watch: compacted in 3.4, refused by 3.7. Not generated.
//! * `RoleGet` of the role root: 3.4 shows no permission, 3.7 one for everything. A compaction: any
//!   user may request it in 3.4, and only root in 3.7. Not requested.
//! * The order of lease ids and of a lease's keys: any in 3.4, by expiry and by key here. Sorted.

use conclave_proto::ApiError;
use conclave_proto::etcdserverpb as pb;

/// Removes the parts of a range reply that differ between the versions.
pub(crate) fn mask_range(request: &pb::RangeRequest, reply: &mut pb::RangeResponse) {
    if request.keys_only {
        for kv in &mut reply.kvs {
            kv.lease = 0;
        }
    }
}

/// Returns true if both texts are errors that refuse a txn's puts or ranges.
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
