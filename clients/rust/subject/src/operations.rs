//! The operations, by their names.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::args::Args;
use crate::failure::Failure;
use crate::objects::Objects;

mod barriers;
mod caches;
mod elections;
mod keys;
mod locks;
mod members;
mod numbers;
mod queues;
mod sessions;
mod transactions;
mod watches;

/// The result of an operation.
pub(crate) type Outcome = Result<Value, Failure>;

/// Runs an operation.
pub(crate) async fn run(objects: &Arc<Objects>, op: &str, args: &Args) -> Outcome {
    let (family, name) = op.split_once('.').unwrap_or(("", op));
    match (family, name) {
        ("", "leftovers") => Ok(objects.leftovers()),
        ("", "cancel") => {
            objects.cancel(args.value("id"));
            Ok(json!({}))
        }
        ("", "txn") | ("owner", _) => transactions::run(objects, op, args).await,
        ("", _) => keys::run(objects, op, args).await,
        ("client" | "session", _) => sessions::run(objects, op, args).await,
        ("watch", _) => watches::run(objects, op, args).await,
        ("mutex" | "rwlock" | "semaphore", _) => locks::run(objects, op, args).await,
        ("election" | "observe", _) => elections::run(objects, op, args).await,
        ("barrier" | "double_barrier" | "latch", _) => barriers::run(objects, op, args).await,
        ("queue", _) => queues::run(objects, op, args).await,
        ("counter" | "value" | "stm" | "once", _) => numbers::run(objects, op, args).await,
        ("group" | "service", _) => members::run(objects, op, args).await,
        ("cache", _) => caches::run(objects, op, args).await,
        _ => Err(Failure::unsupported(op)),
    }
}

/// The request's client, with the request's deadline.
fn client(objects: &Objects, args: &Args) -> Result<conclave_client::Client, Failure> {
    let client = objects.client(args.text("client")?)?;
    Ok(match args.seconds("deadline")? {
        Some(deadline) => client.with_deadline(deadline),
        None => client,
    })
}

/// Waits for as long as the request says.
async fn wait<T>(
    args: &Args,
    work: impl Future<Output = Result<T, conclave_client::Error>>,
) -> Result<T, Failure> {
    match args.seconds("deadline")? {
        Some(deadline) => Ok(conclave_client::recipes::within(deadline, work).await?),
        None => Ok(work.await?),
    }
}

/// Bytes of a key or a value, which are text here.
fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
