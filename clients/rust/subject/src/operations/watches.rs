//! Watches.

use std::sync::Arc;

use conclave_client::Keys;
use conclave_client::api::{Event, EventType};
use conclave_client::watch::Watch;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::{Outcome, client, text, wait};
use crate::args::Args;
use crate::failure::Failure;
use crate::objects::{Object, Objects};

pub(super) async fn run(objects: &Arc<Objects>, op: &str, args: &Args) -> Outcome {
    match op {
        "watch.open" => open(objects, args).await,
        "watch.close" => {
            objects.end_events(args.text("watch")?)?;
            Ok(json!({}))
        }
        _ => Err(Failure::unsupported(op)),
    }
}

async fn open(objects: &Arc<Objects>, args: &Args) -> Outcome {
    let name = args.text("as")?.to_owned();
    let keys = match args.optional("prefix") {
        Some(prefix) => Keys::prefix(prefix.to_owned()),
        None => Keys::one(args.text("key")?.to_owned()),
    };
    let opening = client(objects, args)?
        .watch(keys)
        .from(args.number("from"))
        .open();
    let watch = wait(args, opening).await?;
    let revision = watch.revision();
    let cancelled = CancellationToken::new();
    objects.add(&name, Object::Events(cancelled.clone()));
    objects.spawn(forward(Arc::clone(objects), name, watch, cancelled));
    Ok(json!({"revision": revision}))
}

async fn forward(
    objects: Arc<Objects>,
    name: String,
    mut watch: Watch,
    cancelled: CancellationToken,
) {
    loop {
        let outcome = tokio::select! {
            biased;
            () = cancelled.cancelled() => Ok(None),
            outcome = watch.next() => outcome,
        };
        let end = match outcome {
            Ok(Some(batch)) => {
                for event in &batch.events {
                    objects
                        .write(json!({"on": name, "event": shown(event)}))
                        .await;
                }
                continue;
            }
            Ok(None) => json!({"type": "end"}),
            Err(error) => json!({"type": "end", "error": Failure::from(error).to_json()}),
        };
        objects.write(json!({"on": name, "event": end})).await;
        return;
    }
}

fn shown(event: &Event) -> Value {
    let kv = event.kv.clone().unwrap_or_default();
    let kind = match event.r#type() {
        EventType::Put => "put",
        EventType::Delete => "delete",
    };
    json!({
        "type": kind, "key": text(&kv.key), "value": text(&kv.value), "revision": kv.mod_revision,
    })
}
