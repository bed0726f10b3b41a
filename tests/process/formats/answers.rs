//! The answers of a member on a golden directory, as text.

use std::fmt::Write as _;

use conclave_client::api::range_request::{SortOrder, SortTarget};
use conclave_client::api::{
    AuthRoleGetRequest, AuthRoleListRequest, AuthUserGetRequest, AuthUserListRequest, Event,
    EventType, HashKvRequest, HashKvResponse, KeyValue, LeaseLeasesRequest, RangeRequest,
    RangeResponse,
};
use conclave_client::{Client, Keys};
use conclave_proto::authpb::permission::Type;
use harness::api::{OPEN, everything, get, range};
use harness::within;

/// Asks everything; a section for each question.
pub(super) async fn ask(endpoint: &str) -> String {
    let client = Client::connect([endpoint]).await.unwrap();
    let now = hash(&client, 0).await;
    let (compacted, last) = (now.compact_revision, now.hash_revision);
    let mut out = format!("compacted at {compacted}, last revision {last}\n");
    let third = (last - compacted) / 3;
    let revisions = [
        last,
        last - third,
        last - 2 * third,
        compacted + 1,
        compacted,
    ];
    for revision in revisions {
        let hash = hash(&client, revision).await;
        writeln!(
            out,
            "HashKV at {revision}: {:08x}, compact revision {}, hash revision {}",
            hash.hash, hash.compact_revision, hash.hash_revision
        )
        .unwrap();
    }
    for revision in revisions {
        let request = RangeRequest {
            revision,
            ..everything()
        };
        let title = format!("every key at {revision}");
        section(&client, &mut out, &title, request).await;
    }
    for revision in [last, compacted] {
        options(&client, &mut out, revision).await;
    }
    refusals(&client, &mut out, compacted, last).await;
    history(&client, &mut out, compacted, last).await;
    leases(&client, &mut out).await;
    accounts(&client, &mut out).await;
    out
}

/// Ranges with the options that leave something out or change the order.
async fn options(client: &Client, out: &mut String, revision: i64) {
    let rows = RangeRequest {
        revision,
        ..range("row/", "row0")
    };
    let limit = |limit| RangeRequest {
        limit,
        ..rows.clone()
    };
    let sorted = |target: SortTarget, order: SortOrder| RangeRequest {
        sort_target: target as i32,
        sort_order: order as i32,
        ..limit(4)
    };
    let one = |key: &'static [u8]| RangeRequest {
        revision,
        ..get(key)
    };
    let questions = [
        (
            "count_only",
            RangeRequest {
                count_only: true,
                ..rows.clone()
            },
        ),
        (
            "keys_only",
            RangeRequest {
                keys_only: true,
                ..limit(3)
            },
        ),
        ("limit 3", limit(3)),
        ("limit 1000", limit(1_000)),
        (
            "by value, descending",
            sorted(SortTarget::Value, SortOrder::Descend),
        ),
        (
            "by key, descending",
            sorted(SortTarget::Key, SortOrder::Descend),
        ),
        (
            "by mod revision, ascending",
            sorted(SortTarget::Mod, SortOrder::Ascend),
        ),
        (
            "created by 20",
            RangeRequest {
                max_create_revision: 20,
                ..rows.clone()
            },
        ),
        ("one key", one(b"a\0\xff")),
        ("the lowest key", one(b"\0")),
        ("a key that was deleted", one(b"row/25")),
    ];
    for (title, request) in questions {
        let title = format!("{title} at {revision}");
        section(client, out, &title, request).await;
    }
}

async fn section(client: &Client, out: &mut String, title: &str, request: RangeRequest) {
    let reply = client.range_with(request).await.unwrap();
    writeln!(out, "\n# {title}").unwrap();
    let RangeResponse {
        kvs, more, count, ..
    } = reply;
    writeln!(out, "count {count}, more {more}").unwrap();
    for kv in kvs {
        writeln!(out, "{}", pair(&kv)).unwrap();
    }
}

/// Reads outside of the history that is kept.
async fn refusals(client: &Client, out: &mut String, compacted: i64, last: i64) {
    writeln!(out, "\n# refused").unwrap();
    for revision in [1, compacted - 1, last + 1] {
        let request = RangeRequest {
            revision,
            ..everything()
        };
        let status = client.kv().range(request).await.unwrap_err();
        let mut maintenance = client.maintenance();
        let hash = maintenance.hash_kv(HashKvRequest { revision });
        let hashing = hash.await.unwrap_err();
        let (code, text) = (status.code(), status.message());
        writeln!(out, "a range at {revision}: {code:?}, {text}").unwrap();
        let (code, text) = (hashing.code(), hashing.message());
        writeln!(out, "HashKV at {revision}: {code:?}, {text}").unwrap();
    }
}

/// Every change that a watch can still get, with the value before it.
async fn history(client: &Client, out: &mut String, compacted: i64, last: i64) {
    writeln!(out, "\n# the history from {compacted}").unwrap();
    let watch = client.watch(Keys::range(OPEN, OPEN)).from(compacted);
    let mut watch = watch.with_previous().open().await.unwrap();
    let mut seen = 0;
    while seen < last {
        let batch = within("the history", watch.next()).await.unwrap();
        for event in batch.expect("the watch is open").events {
            seen = event.kv.as_ref().unwrap().mod_revision;
            writeln!(out, "{}", change(&event)).unwrap();
        }
    }
}

async fn leases(client: &Client, out: &mut String) {
    writeln!(out, "\n# leases").unwrap();
    let reply = client.leases().lease_leases(LeaseLeasesRequest {}).await;
    for lease in reply.unwrap().into_inner().leases {
        let reply = client.time_to_live(lease.id, true).await.unwrap();
        let (id, ttl) = (reply.id, reply.granted_ttl);
        writeln!(out, "{id}: granted for {ttl} s").unwrap();
        for key in reply.keys {
            writeln!(out, "  {}", quoted(&key)).unwrap();
        }
    }
}

async fn accounts(client: &Client, out: &mut String) {
    writeln!(out, "\n# users and roles").unwrap();
    let mut auth = client.auth();
    let users = auth.user_list(AuthUserListRequest {}).await.unwrap();
    for name in users.into_inner().users {
        let request = AuthUserGetRequest { name: name.clone() };
        let roles = auth.user_get(request).await.unwrap().into_inner().roles;
        writeln!(out, "user {name}: {}", roles.join(", ")).unwrap();
    }
    let roles = auth.role_list(AuthRoleListRequest {}).await.unwrap();
    for role in roles.into_inner().roles {
        writeln!(out, "role {role}").unwrap();
        let reply = auth.role_get(AuthRoleGetRequest { role }).await.unwrap();
        for permission in reply.into_inner().perm {
            let kind = Type::try_from(permission.perm_type).unwrap();
            let (key, end) = (&permission.key, &permission.range_end);
            writeln!(out, "  {kind:?} from {} to {}", quoted(key), quoted(end)).unwrap();
        }
    }
}

async fn hash(client: &Client, revision: i64) -> HashKvResponse {
    let mut maintenance = client.maintenance();
    let reply = maintenance.hash_kv(HashKvRequest { revision });
    reply.await.unwrap().into_inner()
}

fn change(event: &Event) -> String {
    let kv = event.kv.as_ref().unwrap();
    let before = match &event.prev_kv {
        Some(before) => format!("; before: {}", pair(before)),
        None => String::new(),
    };
    match event.r#type() {
        EventType::Put => format!("put {}{before}", pair(kv)),
        EventType::Delete => {
            let numbers = (kv.create_revision, kv.version, kv.lease, kv.value.len());
            assert_eq!(numbers, (0, 0, 0, 0), "a deletion has a key and a revision");
            format!("delete {} mod {}{before}", quoted(&kv.key), kv.mod_revision)
        }
    }
}

fn pair(kv: &KeyValue) -> String {
    let lease = match kv.lease {
        0 => String::new(),
        lease => format!(" lease {lease}"),
    };
    format!(
        "{} = {} create {} mod {} version {}{lease}",
        quoted(&kv.key),
        quoted(&kv.value),
        kv.create_revision,
        kv.mod_revision,
        kv.version,
    )
}

fn quoted(bytes: &[u8]) -> String {
    format!("\"{}\"", bytes.escape_ascii())
}
