//! Queues.

use std::sync::{Arc, Mutex};

use conclave_client::Error;
use conclave_client::recipes::Queue;
use serde_json::json;

use super::{Outcome, client, text, wait};
use crate::args::Args;
use crate::failure::Failure;
use crate::objects::{Object, Objects, lock};

pub(super) async fn run(objects: &Objects, op: &str, args: &Args) -> Outcome {
    match op {
        "queue.put" => {
            let queue = Queue::new(&client(objects, args)?, args.text("name")?.to_owned());
            let priority = u32::try_from(args.number("priority"))
                .map_err(|_| Failure::invalid("the priority is not in its range".into()))?;
            let delay = args.seconds("delay")?.unwrap_or_default();
            let value = args.text("value")?.to_owned();
            queue.put_with(value, priority, delay).await?;
            Ok(json!({}))
        }
        "queue.take" => {
            let session = objects.session(args.text("session")?)?;
            let queue = Queue::new(session.client(), args.text("name")?.to_owned());
            let item = wait(args, queue.take(&session)).await?;
            let value = text(item.value());
            let item = Object::Item(Arc::new(Mutex::new(Some(item))));
            objects.add(args.text("as")?, item);
            Ok(json!({"value": value}))
        }
        "queue.ack" | "queue.release" => {
            let item = objects.item(args.text("item")?)?;
            let item = lock(&item).take().ok_or(Error::Closed("the item"))?;
            let done = match op {
                "queue.ack" => wait(args, item.ack()).await?,
                _ => wait(args, item.release()).await?,
            };
            Ok(json!({"done": done}))
        }
        _ => Err(Failure::unsupported(op)),
    }
}
