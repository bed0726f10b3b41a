//! Reading and writing keys.

use conclave_client::Keys;
use conclave_client::api::{KeyValue, PutRequest, RangeRequest, ResponseHeader};
use serde_json::{Value, json};

use super::{Outcome, client, text};
use crate::args::Args;
use crate::failure::Failure;
use crate::objects::Objects;

pub(super) async fn run(objects: &Objects, op: &str, args: &Args) -> Outcome {
    match op {
        "put" => put(objects, args).await,
        "get" => get(objects, args).await,
        "list" => {
            let keys = Keys::prefix(args.text("prefix")?.to_owned());
            let read = client(objects, args)?.range(keys).await?;
            let kvs: Vec<_> = read.kvs.iter().map(shown).collect();
            Ok(json!({"kvs": kvs, "revision": revision(read.header.as_ref())}))
        }
        "delete" => delete(objects, args, Keys::one(args.text("key")?.to_owned())).await,
        "delete_prefix" => {
            delete(objects, args, Keys::prefix(args.text("prefix")?.to_owned())).await
        }
        "compact" => {
            let client = client(objects, args)?;
            client.compact(args.number("revision"), true).await?;
            Ok(json!({}))
        }
        _ => Err(Failure::unsupported(op)),
    }
}

async fn put(objects: &Objects, args: &Args) -> Outcome {
    let request = PutRequest {
        key: args.text("key")?.to_owned().into(),
        value: args.text("value")?.to_owned().into(),
        lease: args.lease("lease")?,
        ..Default::default()
    };
    let put = client(objects, args)?.put_with(request).await?;
    Ok(json!({"revision": revision(put.header.as_ref())}))
}

async fn get(objects: &Objects, args: &Args) -> Outcome {
    let request = RangeRequest {
        key: args.text("key")?.to_owned().into(),
        serializable: args.is_true("serializable"),
        revision: args.number("revision"),
        ..Default::default()
    };
    let read = client(objects, args)?.range_with(request).await?;
    let revision = revision(read.header.as_ref());
    Ok(match read.kvs.first() {
        Some(kv) => json!({
            "found": true,
            "value": text(&kv.value),
            "create_revision": kv.create_revision,
            "mod_revision": kv.mod_revision,
            "revision": revision,
        }),
        None => json!({
            "found": false, "value": "", "create_revision": 0, "mod_revision": 0,
            "revision": revision,
        }),
    })
}

async fn delete(objects: &Objects, args: &Args, keys: Keys) -> Outcome {
    let deleted = client(objects, args)?.delete(keys).await?;
    let revision = revision(deleted.header.as_ref());
    Ok(json!({"deleted": deleted.deleted, "revision": revision}))
}

fn shown(kv: &KeyValue) -> Value {
    json!({
        "key": text(&kv.key),
        "value": text(&kv.value),
        "create_revision": kv.create_revision,
        "mod_revision": kv.mod_revision,
    })
}

fn revision(header: Option<&ResponseHeader>) -> i64 {
    header.map_or(0, |header| header.revision)
}
