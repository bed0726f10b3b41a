//! Counters, values, transactional memory, and work that is done once.

use conclave_client::Error;
use conclave_client::recipes::{Counter, Once, Transaction, Value, stm};
use serde_json::json;

use super::{Outcome, client, text, wait};
use crate::args::Args;
use crate::failure::Failure;
use crate::objects::Objects;

pub(super) async fn run(objects: &Objects, op: &str, args: &Args) -> Outcome {
    let name = || Ok::<_, Failure>(args.text("name")?.to_owned());
    let counter = || Ok::<_, Failure>(Counter::new(&client(objects, args)?, name()?));
    let value = || Ok::<_, Failure>(Value::new(&client(objects, args)?, name()?));
    match op {
        "counter.add" => {
            let sum = counter()?.add(args.number("delta")).await?;
            Ok(json!({"value": sum}))
        }
        "counter.get" => Ok(json!({"value": counter()?.get().await?})),
        "value.get" => Ok(match value()?.get().await? {
            Some(found) => {
                let value = text(&found.value);
                json!({"found": true, "value": value, "revision": found.revision})
            }
            None => json!({"found": false, "value": "", "revision": 0}),
        }),
        "value.compare_and_set" => {
            let new = args.text("value")?.to_owned();
            let expected = args.number("revision");
            let revision = value()?.compare_and_set(expected, new).await?;
            Ok(json!({"swapped": revision.is_some(), "revision": revision.unwrap_or(0)}))
        }
        "stm.transfer" => transfer(objects, args).await,
        "once.run" => {
            let once = Once::new(&objects.session(args.text("session")?)?, name()?);
            let value = args.text("value")?.to_owned();
            let done = wait(args, once.run(async || Ok(value.into()))).await?;
            Ok(json!({"value": text(&done.result), "ran": done.ran}))
        }
        _ => Err(Failure::unsupported(op)),
    }
}

/// Moves a number from one key to another.
async fn transfer(objects: &Objects, args: &Args) -> Outcome {
    let (from, to) = (args.text("from")?, args.text("to")?);
    let amount = args.number("amount");
    let (from, to) = (from.to_owned(), to.to_owned());
    let client = client(objects, args)?;
    let moving = stm(&client, |tx| {
        let (from, to) = (from.clone(), to.clone());
        async move {
            let source = number(&tx, &from).await? - amount;
            tx.put(from, source.to_string());
            let target = number(&tx, &to).await? + amount;
            tx.put(to, target.to_string());
            Ok((source, target))
        }
    });
    let (source, target) = wait(args, moving).await?;
    Ok(json!({"from": source, "to": target}))
}

async fn number(tx: &Transaction, key: &str) -> Result<i64, Error> {
    let Some(value) = tx.get(key.to_owned()).await? else {
        return Ok(0);
    };
    let number = std::str::from_utf8(&value).ok();
    let number = number.and_then(|number| number.parse().ok());
    number.ok_or_else(|| Error::Invalid(format!("{key} has no number")))
}
