//! Where etcd 3.4, which we compare with, and 3.7, whose API we serve, differ; and how the comparison
//! copes. Nothing else may differ.
//!
//! | what | 3.4 | 3.7 and Conclave | here |
//! |---|---|---|---|
//! | `keys_only` | shows a key's lease | hides it | masked |
//! | unknown sort order or target | ignored, or a panic of the server | refused | not generated |
//! | put into an open-ended deleted range of the same txn | overlooked | refused (3.7 overlooks it too; we do not, since a key would change twice in one revision) | not generated |
//! | `HashKV` at the compaction revision | refused | answered | not asked |
//! | a tombstone at the compaction revision | dropped | kept (issue 19179) | masked in hashes, not watched |
//! | fields added since: `hash_revision`, `dbSizeQuota`, `storageVersion`, `downgradeInfo` | absent | set | masked |
//! | a negative start revision of a watch | compacted | refused | not generated |
//! | order of lease ids and of a lease's keys | any | by expiry; by key | sorted |

use conclave_proto::etcdserverpb as pb;

/// Takes out of a range reply what the versions answer differently.
pub(crate) fn mask_range(request: &pb::RangeRequest, reply: &mut pb::RangeResponse) {
    if request.keys_only {
        for kv in &mut reply.kvs {
            kv.lease = 0;
        }
    }
}
