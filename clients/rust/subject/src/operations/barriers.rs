//! Barriers, double barriers and latches.

use std::sync::{Arc, Mutex};

use conclave_client::Error;
use conclave_client::recipes::{Barrier, DoubleBarrier, Latch};
use serde_json::json;

use super::{Outcome, client, wait};
use crate::args::Args;
use crate::failure::Failure;
use crate::objects::{Object, Objects, lock};

pub(super) async fn run(objects: &Objects, op: &str, args: &Args) -> Outcome {
    let name = || Ok::<_, Failure>(args.text("name")?.to_owned());
    let barrier = || Ok::<_, Failure>(Barrier::new(&client(objects, args)?, name()?));
    let latch = || Ok::<_, Failure>(Latch::new(&client(objects, args)?, name()?));
    match op {
        "barrier.hold" => barrier()?.hold().await?,
        "barrier.release" => barrier()?.release().await?,
        "barrier.wait" => wait(args, barrier()?.wait()).await?,
        "double_barrier.enter" => {
            let session = objects.session(args.text("session")?)?;
            let count = usize::try_from(args.number("count")).unwrap_or(0);
            let double = DoubleBarrier::new(&session, name()?, count)?;
            let inside = wait(args, double.enter()).await?;
            let inside = Object::Inside(Arc::new(Mutex::new(Some(inside))));
            objects.add(&place(args)?, inside);
        }
        "double_barrier.leave" => {
            let inside = objects.inside(&place(args)?)?;
            let inside = lock(&inside).take();
            let inside = inside.ok_or(Error::Closed("the double barrier"))?;
            wait(args, inside.leave()).await?;
        }
        "latch.create" => {
            let created = latch()?.create(args.number("count")).await?;
            return Ok(json!({"created": created}));
        }
        "latch.count_down" => {
            let count = latch()?.count_down().await?;
            return Ok(json!({"count": count}));
        }
        "latch.wait" => wait(args, latch()?.wait()).await?,
        _ => return Err(Failure::unsupported(op)),
    }
    Ok(json!({}))
}

/// The name of a session's place in a double barrier.
fn place(args: &Args) -> Result<String, Failure> {
    let (session, name) = (args.text("session")?, args.text("name")?);
    Ok(format!("{session} in {name}"))
}
