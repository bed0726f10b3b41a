//! The driver's own operations, by its own connections to the members. They go on to another member
//! until one answers, so a scenario can look at the state during a fault.

use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use conclave_proto::authpb::permission::Type;
use conclave_proto::etcdserverpb as pb;
use conclave_proto::v3electionpb::{CampaignRequest, LeaderRequest};
use conclave_proto::v3lockpb::{LockRequest, UnlockRequest};
use harness::login::{Administrator, log_in, with_token};
use harness::{api, eventually};
use pb::range_request::SortTarget;
use serde_json::{Value, json};
use tonic::{Code, Status};

use crate::failure::Failure;
use crate::reply::own_error;
use crate::subject::Reply;
use crate::world::World;

/// Time limit of one member's answer.
const ANSWER: Duration = Duration::from_secs(2);

/// Executes an operation.
pub(crate) async fn call(world: &World, name: &str, arguments: &Value) -> Result<Reply, Failure> {
    let text = |name: &str| arguments[name].as_str().unwrap_or_default().to_owned();
    match name {
        "get" => list(world, &text("key"), None).await.map(one),
        "list" => {
            let prefix = text("prefix");
            let end = end_of(&prefix);
            list(world, &prefix, Some(end)).await
        }
        "put" => put(world, &text("key"), &text("value"), &text("lease")).await,
        "delete" => delete(world, &text("key")).await,
        "compact" => compact(world, arguments["revision"].as_i64().unwrap_or_default()).await,
        "grant" => grant(world, arguments["ttl"].as_i64().unwrap_or_default()).await,
        "lock" => lock(world, &text("name"), &text("lease")).await,
        "unlock" => unlock(world, &text("key")).await,
        "campaign" => campaign(world, &text("name"), &text("lease"), &text("value")).await,
        "leader" => leader(world, &text("name")).await,
        "revoke" => revoke(world, &text("lease")).await,
        "user.add" => {
            add_user(world, &text("user"), &text("prefix")).await;
            Ok(Ok(json!({})))
        }
        "user.deny" => {
            let (user, administrator) = (text("user"), administrator(world).await);
            administrator.revoke(&user, &user).await;
            Ok(Ok(json!({})))
        }
        "connections" => Ok(Ok(json!({"count": world.connections(&text("of"))}))),
        other => Err(Failure::new(format!("the driver has no `{other}`"))),
    }
}

/// The end of a prefix's range.
fn end_of(prefix: &str) -> Vec<u8> {
    let mut end = prefix.as_bytes().to_vec();
    match end.last_mut() {
        Some(last) => *last += 1,
        None => end.push(0),
    }
    end
}

/// Asks one member after the other until one answers, with a result or an error of its own.
async fn ask<T, F>(world: &World, attempt: impl Fn(usize, String) -> F) -> Result<T, Status>
where
    F: Future<Output = Result<T, Status>>,
{
    eventually("an answer to the driver", || async {
        for number in world.cluster.alive() {
            let token = token(world, number).await?;
            let asked = tokio::time::timeout(ANSWER, attempt(number, token)).await;
            let passes = [Code::Unavailable, Code::DeadlineExceeded, Code::Unknown];
            match asked {
                Ok(Err(status)) if passes.contains(&status.code()) => {}
                Ok(answer) => return Some(answer),
                Err(_) => {}
            }
        }
        None
    })
    .await
}

/// A fresh token of root: members forget tokens when they restart.
async fn token(world: &World, number: usize) -> Option<String> {
    if !world.has_users() {
        return Some(String::new());
    }
    let login = log_in(
        world.cluster.channel(number),
        "root",
        harness::login::PASSWORD,
    );
    tokio::time::timeout(ANSWER, login).await.ok()?.ok()
}

/// The number of a lease; 0 for none.
fn lease_id(lease: &str) -> i64 {
    i64::from_str_radix(lease, 16).unwrap_or_default()
}

fn replied(answer: Result<Value, Status>) -> Result<Reply, Failure> {
    Ok(answer.map_err(|status| own_error("api", "", status.message())))
}

async fn list(world: &World, key: &str, end: Option<Vec<u8>>) -> Result<Reply, Failure> {
    let key = if key.is_empty() { "\0" } else { key };
    let request = pb::RangeRequest {
        range_end: end.unwrap_or_default().into(),
        sort_target: SortTarget::Create.into(),
        sort_order: pb::range_request::SortOrder::Ascend.into(),
        ..api::get(key.to_owned())
    };
    let answer = ask(world, |number, token| {
        let request = with_token(&token, request.clone());
        let mut stub = world.cluster.kv(number);
        async move { Ok(stub.range(request).await?.into_inner()) }
    });
    replied(answer.await.map(|reply| {
        let kvs = reply.kvs.iter().map(|kv| {
            json!({
                "key": String::from_utf8_lossy(&kv.key),
                "value": String::from_utf8_lossy(&kv.value),
                "create_revision": kv.create_revision,
                "mod_revision": kv.mod_revision,
                "lease": format!("{:x}", kv.lease),
            })
        });
        let kvs: Vec<_> = kvs.collect();
        json!({"kvs": kvs, "revision": api::revision_of(&reply.header)})
    }))
}

/// The result of a `get` from that of a list.
fn one(reply: Reply) -> Reply {
    reply.map(|mut list| {
        let first = list["kvs"].get_mut(0).map(Value::take);
        let mut found = first.unwrap_or_else(|| json!({}));
        found["found"] = json!(found.get("key").is_some());
        found["revision"] = list["revision"].take();
        found
    })
}

async fn put(world: &World, key: &str, value: &str, lease: &str) -> Result<Reply, Failure> {
    let request = api::put_leased(key.to_owned(), value.to_owned(), lease_id(lease));
    let answer = ask(world, |number, token| {
        let request = with_token(&token, request.clone());
        let mut stub = world.cluster.kv(number);
        async move { Ok(stub.put(request).await?.into_inner().header) }
    });
    let header = answer.await;
    replied(header.map(|header| json!({"revision": api::revision_of(&header)})))
}

async fn delete(world: &World, key: &str) -> Result<Reply, Failure> {
    let answer = ask(world, |number, token| {
        let request = with_token(&token, api::delete(key.to_owned()));
        let mut stub = world.cluster.kv(number);
        async move { Ok(stub.delete_range(request).await?.into_inner().deleted) }
    });
    replied(answer.await.map(|deleted| json!({"deleted": deleted})))
}

async fn compact(world: &World, revision: i64) -> Result<Reply, Failure> {
    let answer = ask(world, |number, token| {
        let request = with_token(&token, api::compaction(revision));
        let mut stub = world.cluster.kv(number);
        async move { stub.compact(request).await.map(drop) }
    });
    replied(answer.await.map(|()| json!({})))
}

async fn revoke(world: &World, lease: &str) -> Result<Reply, Failure> {
    let id = lease_id(lease);
    let answer = ask(world, |number, token| {
        let request = with_token(&token, pb::LeaseRevokeRequest { id });
        let mut stub = world.cluster.leases(number);
        async move { stub.lease_revoke(request).await.map(drop) }
    });
    replied(answer.await.map(|()| json!({})))
}

async fn grant(world: &World, ttl: i64) -> Result<Reply, Failure> {
    let answer = ask(world, |number, token| {
        let request = with_token(&token, pb::LeaseGrantRequest { id: 0, ttl });
        let mut stub = world.cluster.leases(number);
        async move { Ok(stub.lease_grant(request).await?.into_inner().id) }
    });
    replied(answer.await.map(|id| json!({"lease": format!("{id:x}")})))
}

/// Takes a lock by the API's own call.
async fn lock(world: &World, name: &str, lease: &str) -> Result<Reply, Failure> {
    let (name, lease) = (Bytes::from(name.to_owned()), lease_id(lease));
    let answer = ask(world, |number, token| {
        let name = name.clone();
        let request = with_token(&token, LockRequest { name, lease });
        let mut stub = world.cluster.locks(number);
        async move { Ok(stub.lock(request).await?.into_inner().key) }
    });
    replied(
        answer
            .await
            .map(|key| json!({"key": String::from_utf8_lossy(&key)})),
    )
}

async fn unlock(world: &World, key: &str) -> Result<Reply, Failure> {
    let key = Bytes::from(key.to_owned());
    let answer = ask(world, |number, token| {
        let request = with_token(&token, UnlockRequest { key: key.clone() });
        let mut stub = world.cluster.locks(number);
        async move { stub.unlock(request).await.map(drop) }
    });
    replied(answer.await.map(|()| json!({})))
}

async fn campaign(world: &World, name: &str, lease: &str, value: &str) -> Result<Reply, Failure> {
    let request = CampaignRequest {
        name: Bytes::from(name.to_owned()),
        lease: lease_id(lease),
        value: Bytes::from(value.to_owned()),
    };
    let answer = ask(world, |number, token| {
        let request = with_token(&token, request.clone());
        let mut stub = world.cluster.elections(number);
        async move { Ok(stub.campaign(request).await?.into_inner().leader) }
    });
    replied(answer.await.map(|leader| {
        let leader = leader.unwrap_or_default();
        json!({"key": String::from_utf8_lossy(&leader.key), "token": leader.rev})
    }))
}

async fn leader(world: &World, name: &str) -> Result<Reply, Failure> {
    let name = Bytes::from(name.to_owned());
    let answer = ask(world, |number, token| {
        let request = with_token(&token, LeaderRequest { name: name.clone() });
        let mut stub = world.cluster.elections(number);
        async move { Ok(stub.leader(request).await?.into_inner().kv) }
    });
    replied(answer.await.map(|kv| {
        let kv = kv.unwrap_or_default();
        json!({"value": String::from_utf8_lossy(&kv.value), "token": kv.create_revision})
    }))
}

async fn administrator(world: &World) -> Administrator {
    let (number, token) = eventually("root to log in", || async {
        let number = world.cluster.alive().first().copied()?;
        Some((number, token(world, number).await?))
    })
    .await;
    Administrator::with_token(world.cluster.channel(number), &token)
}

/// Adds a user with the password `secret` and a role of the same name, which may read and write a
/// prefix.
async fn add_user(world: &World, user: &str, prefix: &str) {
    let administrator = administrator(world).await;
    let end = String::from_utf8(end_of(prefix)).expect("the prefix ends with a letter");
    administrator
        .add_role(user, Type::Readwrite, prefix, &end)
        .await;
    administrator.add_user(user, &[user]).await;
}
