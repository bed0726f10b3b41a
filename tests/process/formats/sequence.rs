//! The changes in the golden directories. They must stay as they are: every directory has them.

use bytes::Bytes;
use conclave_client::api::{
    AuthRoleAddRequest, AuthRoleGrantPermissionRequest, AuthUserAddRequest,
    AuthUserGrantRoleRequest, LeaseGrantRequest, TxnRequest,
};
use conclave_client::{Client, Keys};
use conclave_proto::authpb::Permission;
use conclave_proto::authpb::permission::Type;
use harness::api::{all, delete, op, put, put_leased};

/// Time to live of the leases, in seconds. None expires while a test runs.
const TTL: i64 = 1_000_000;
const ROWS: usize = 40;

/// Leases: `KEEPS` has a key at the end, `EMPTY` never has one, keys move to `GAINS`, and two are
/// revoked with a key each: before the stop and after it.
const KEEPS: i64 = 7;
const EMPTY: i64 = 8;
const GAINS: i64 = 9;
const REVOKED_EARLY: i64 = 11;
const REVOKED_LATE: i64 = 12;

/// Keys that must be escaped to be followed by a revision, and the highest ones.
const AWKWARD: &[&[u8]] = &[
    b"\0",
    b"\0\0",
    b"\0\x01",
    b"a",
    b"a\0",
    b"a\0\0b",
    b"a\0\x01",
    b"a\0\xff",
    b"a\xff",
    b"\xff",
    b"\xff\xff",
];

/// Changes that the stop writes to the tables of the state. A part of them is compacted.
pub(super) async fn before_the_stop(client: &Client) {
    for lease in [KEEPS, EMPTY, GAINS, REVOKED_EARLY, REVOKED_LATE] {
        grant(client, lease).await;
    }
    for number in 0..ROWS {
        put_row(client, number, "first").await;
    }
    for number in (0..ROWS).step_by(2) {
        put_row(client, number, "second").await;
    }
    for (number, key) in AWKWARD.iter().enumerate() {
        client.put(*key, awkward_value(number)).await.unwrap();
    }
    for (key, lease) in [
        ("leased/kept", KEEPS),
        ("leased/moved-late", KEEPS),
        ("leased/moved-early", KEEPS),
        ("leased/freed", GAINS),
        ("leased/revoked-early", REVOKED_EARLY),
        ("leased/revoked-late", REVOKED_LATE),
    ] {
        let request = put_leased(key, lease.to_string(), lease);
        client.put_with(request).await.unwrap();
    }
    let mut middle = 0;
    for number in (0..ROWS).step_by(5) {
        let reply = client.delete(Keys::one(row(number))).await.unwrap();
        if number == 20 {
            middle = reply.header.unwrap().revision;
        }
    }
    // Physical: returns when what is compacted has been removed.
    client.compact(middle, true).await.unwrap();
    after_the_first_compaction(client).await;
}

async fn after_the_first_compaction(client: &Client) {
    for number in (0..ROWS).step_by(10) {
        put_row(client, number, "again").await;
    }
    txn(
        client,
        all([
            op(put(row(1), "of a txn")),
            op(put("txn/new", "of a txn")),
            op(delete(row(2))),
            op(put(row(3), "")),
        ]),
    )
    .await;
    let several = Keys::range(row(30), row(33));
    client.delete(several).await.unwrap();
    let moved = put_leased("leased/moved-early", "moved", GAINS);
    client.put_with(moved).await.unwrap();
    client.revoke(REVOKED_EARLY).await.unwrap();
    for (number, key) in AWKWARD.iter().enumerate() {
        match number % 3 {
            0 => drop(client.put(*key, "second").await.unwrap()),
            1 => drop(client.delete(Keys::one(*key)).await.unwrap()),
            _ => {}
        }
    }
    accounts(client).await;
}

/// Changes that are in the raft log only. The next start applies them to the state that the stop
/// wrote, after its conversion.
pub(super) async fn after_the_stop(client: &Client) {
    for number in (1..ROWS).step_by(4) {
        put_row(client, number, "third").await;
    }
    // Both were deleted before the stop.
    for number in [15, 30] {
        put_row(client, number, "once more").await;
    }
    let reply = client.delete(Keys::one(row(7))).await.unwrap();
    let middle = reply.header.unwrap().revision;
    let moved = put_leased("leased/moved-late", "moved", GAINS);
    client.put_with(moved).await.unwrap();
    client.put("leased/freed", "freed").await.unwrap();
    client.revoke(REVOKED_LATE).await.unwrap();
    // Before the txn above, so superseded versions and tombstones in the tables can still be read.
    client.compact(middle - 25, false).await.unwrap();
    for key in [&b"a\0"[..], b"a\0\0b", b"\xff\xff"] {
        client.put(key, "").await.unwrap();
    }
    client.delete(Keys::one(&b"\0"[..])).await.unwrap();
    txn(
        client,
        all([
            op(delete(row(3))),
            op(put("txn/new", "of another txn")),
            op(put(&b"txn/\0\xff"[..], vec![0, 0xff])),
            op(delete("txn/absent")),
        ]),
    )
    .await;
    client.put("last", "last").await.unwrap();
}

/// A user with a role that permits a range. Authentication stays disabled.
async fn accounts(client: &Client) {
    let role = AuthRoleAddRequest {
        name: "reader".to_owned(),
    };
    client.auth().role_add(role).await.unwrap();
    let permission = Permission {
        perm_type: Type::Read as i32,
        key: row(0).into(),
        range_end: row(9).into(),
    };
    let permission = AuthRoleGrantPermissionRequest {
        name: "reader".to_owned(),
        perm: Some(permission),
    };
    let granted = client.auth().role_grant_permission(permission).await;
    granted.unwrap();
    let user = AuthUserAddRequest {
        name: "alice".to_owned(),
        password: "a password".to_owned(),
        ..Default::default()
    };
    client.auth().user_add(user).await.unwrap();
    let role = AuthUserGrantRoleRequest {
        user: "alice".to_owned(),
        role: "reader".to_owned(),
    };
    client.auth().user_grant_role(role).await.unwrap();
}

async fn grant(client: &Client, id: i64) {
    let request = LeaseGrantRequest { ttl: TTL, id };
    client.leases().lease_grant(request).await.unwrap();
}

async fn put_row(client: &Client, number: usize, value: &str) {
    let value = format!("{value} {number}");
    client.put(row(number), value).await.unwrap();
}

async fn txn(client: &Client, request: TxnRequest) {
    let reply = client.txn(request).await.unwrap();
    assert!(reply.succeeded);
}

fn row(number: usize) -> String {
    format!("row/{number:02}")
}

/// Every third value is empty.
fn awkward_value(number: usize) -> Bytes {
    match number % 3 {
        0 => Bytes::new(),
        _ => Bytes::from(vec![0, number as u8, 0xff]),
    }
}
