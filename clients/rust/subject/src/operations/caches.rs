//! Caches.

use std::sync::Arc;

use conclave_client::recipes::{Cache, CacheChange};
use serde_json::{Map, json};
use tokio_util::sync::CancellationToken;

use super::{Outcome, client, text, wait};
use crate::args::Args;
use crate::failure::Failure;
use crate::objects::{Object, Objects};

pub(super) async fn run(objects: &Arc<Objects>, op: &str, args: &Args) -> Outcome {
    match op {
        "cache.open" => open(objects, args).await,
        "cache.get" => {
            let cache = objects.cache(args.text("cache")?)?;
            let revision = args.number("at_least");
            if revision > 0 {
                wait(args, cache.at_least(revision)).await?;
            }
            Ok(match cache.get(args.text("key")?) {
                Some(kv) => json!({"found": true, "value": text(&kv.value)}),
                None => json!({"found": false, "value": ""}),
            })
        }
        "cache.list" => {
            let cache = objects.cache(args.text("cache")?)?;
            let kvs = cache.list();
            let kvs = kvs.iter().map(|kv| (text(&kv.key), json!(text(&kv.value))));
            Ok(json!({"kvs": kvs.collect::<Map<_, _>>()}))
        }
        "cache.close" => {
            objects.end_cache(args.text("cache")?);
            Ok(json!({}))
        }
        _ => Err(Failure::unsupported(op)),
    }
}

async fn open(objects: &Arc<Objects>, args: &Args) -> Outcome {
    let prefix = args.text("prefix")?.to_owned();
    let client = client(objects, args)?;
    let cache = Arc::new(wait(args, Cache::open(&client, prefix)).await?);
    let (mut changes, revision) = (cache.listen(), cache.revision());
    let (name, closed) = (args.text("as")?.to_owned(), CancellationToken::new());
    objects.add(&name, Object::Cache(cache, closed.clone()));
    let writer = Arc::clone(objects);
    objects.spawn(async move {
        let forward = async {
            while let Some(change) = changes.next().await {
                let event = match change {
                    CacheChange::Put(kv) => {
                        json!({"type": "put", "key": text(&kv.key), "value": text(&kv.value)})
                    }
                    CacheChange::Delete(key) => {
                        json!({"type": "delete", "key": text(&key), "value": ""})
                    }
                    CacheChange::Missed => json!({"type": "missed"}),
                };
                writer.write(json!({"on": name, "event": event})).await;
            }
        };
        closed.run_until_cancelled(forward).await;
    });
    Ok(json!({"revision": revision}))
}
