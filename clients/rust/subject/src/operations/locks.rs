//! Mutexes, read-write locks and semaphores.

use std::sync::{Arc, Mutex as Lock};

use conclave_client::recipes::{Held, Mutex, RwLock, Semaphore};
use serde_json::json;

use super::{Outcome, client, text, wait};
use crate::args::Args;
use crate::failure::Failure;
use crate::objects::{Object, Objects, lock};

pub(super) async fn run(objects: &Arc<Objects>, op: &str, args: &Args) -> Outcome {
    match op {
        "mutex.lock" => {
            let mutex = Mutex::new(&objects.session(args.text("session")?)?, name(args)?);
            let held = match args.is_true("try") {
                true => wait(args, mutex.try_lock()).await?,
                false => Some(wait(args, mutex.lock()).await?),
            };
            taken(objects, args, held)
        }
        "mutex.state" => {
            let (token, held) = objects.held(args.text("mutex")?)?;
            let is_held = lock(&held).as_ref().is_some_and(Held::is_held);
            Ok(json!({"held": is_held, "token": token}))
        }
        "mutex.unlock" => release(objects, args, "mutex").await,
        "mutex.contenders" => {
            let keys = Mutex::contenders(&client(objects, args)?, name(args)?).await?;
            let keys: Vec<_> = keys.iter().map(|key| text(key)).collect();
            Ok(json!({"keys": keys}))
        }
        "mutex.revoke" => {
            let asked = Mutex::revoke(&client(objects, args)?, name(args)?).await?;
            Ok(json!({"asked": asked}))
        }
        "rwlock.read" | "rwlock.write" => {
            let rwlock = RwLock::new(&objects.session(args.text("session")?)?, name(args)?);
            let held = match (op == "rwlock.read", args.is_true("try")) {
                (true, true) => wait(args, rwlock.try_read()).await?,
                (true, false) => Some(wait(args, rwlock.read()).await?),
                (false, true) => wait(args, rwlock.try_write()).await?,
                (false, false) => Some(wait(args, rwlock.write()).await?),
            };
            taken(objects, args, held)
        }
        "rwlock.unlock" => release(objects, args, "rwlock").await,
        "semaphore.acquire" => {
            let session = objects.session(args.text("session")?)?;
            let permits = usize::try_from(args.number("permits")).unwrap_or(0);
            let semaphore = Semaphore::new(&session, name(args)?, permits)?;
            let held = match args.is_true("try") {
                true => wait(args, semaphore.try_acquire()).await?,
                false => Some(wait(args, semaphore.acquire()).await?),
            };
            taken(objects, args, held)
        }
        "semaphore.release" => release(objects, args, "semaphore").await,
        _ => Err(Failure::unsupported(op)),
    }
}

fn name(args: &Args) -> Result<String, Failure> {
    Ok(args.text("name")?.to_owned())
}

/// Keeps what was taken, and forwards its events.
fn taken(objects: &Arc<Objects>, args: &Args, held: Option<Held>) -> Outcome {
    let Some(held) = held else {
        return Ok(json!({"held": false}));
    };
    let (token, key) = (held.token(), text(held.key()));
    let name = args.text("as")?;
    objects.forward_owner(name, held.events());
    objects.add(name, Object::Held(token, Arc::new(Lock::new(Some(held)))));
    Ok(json!({"token": token, "key": key}))
}

async fn release(objects: &Objects, args: &Args, what: &str) -> Outcome {
    let (_, held) = objects.held(args.text(what)?)?;
    let held = lock(&held).take();
    let held = held.ok_or(conclave_client::Error::Closed("the lock"))?;
    wait(args, held.release()).await?;
    Ok(json!({}))
}
