//! Elections.

use std::sync::{Arc, Mutex as Lock};

use conclave_client::Error;
use conclave_client::recipes::Election;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::{Outcome, client, text, wait};
use crate::args::Args;
use crate::failure::Failure;
use crate::objects::{Object, Objects, lock};

const RESIGNED: Error = Error::Closed("the leadership");

pub(super) async fn run(objects: &Arc<Objects>, op: &str, args: &Args) -> Outcome {
    let name = || Ok::<_, Failure>(args.text("name")?.to_owned());
    match op {
        "election.campaign" => campaign(objects, args).await,
        "election.proclaim" => {
            let leadership = objects.leadership(args.text("election")?)?;
            let leadership = lock(&leadership).clone().ok_or(RESIGNED)?;
            let value = args.text("value")?.to_owned();
            wait(args, leadership.proclaim(value)).await?;
            Ok(json!({}))
        }
        "election.resign" => {
            let leadership = objects.leadership(args.text("election")?)?;
            let leadership = lock(&leadership).take().ok_or(RESIGNED)?;
            let leadership = Arc::into_inner(leadership).ok_or(RESIGNED)?;
            wait(args, leadership.resign()).await?;
            Ok(json!({}))
        }
        "election.leader" => {
            let leader = Election::leader(&client(objects, args)?, name()?).await?;
            Ok(match leader {
                Some(leader) => {
                    let value = text(&leader.value);
                    json!({"found": true, "value": value, "token": leader.token})
                }
                None => json!({"found": false, "value": "", "token": 0}),
            })
        }
        "election.contenders" => {
            let values = Election::contenders(&client(objects, args)?, name()?).await?;
            let values: Vec<_> = values.iter().map(|value| text(value)).collect();
            Ok(json!({"values": values}))
        }
        "election.observe" => observe(objects, args),
        "observe.close" => {
            objects.end_events(args.text("observe")?)?;
            Ok(json!({}))
        }
        _ => Err(Failure::unsupported(op)),
    }
}

async fn campaign(objects: &Arc<Objects>, args: &Args) -> Outcome {
    let session = objects.session(args.text("session")?)?;
    let election = Election::new(&session, args.text("name")?.to_owned());
    let campaign = election.campaign(args.text("value")?.to_owned());
    let leadership = wait(args, campaign).await?;
    let held = leadership.held();
    let (token, key) = (held.token(), text(held.key()));
    let name = args.text("as")?;
    objects.forward_owner(name, held.events());
    let leadership = Arc::new(Lock::new(Some(Arc::new(leadership))));
    objects.add(name, Object::Leadership(leadership));
    Ok(json!({"token": token, "key": key}))
}

fn observe(objects: &Arc<Objects>, args: &Args) -> Outcome {
    let client = client(objects, args)?;
    let mut observer = Election::observe(&client, args.text("name")?.to_owned());
    let name = args.text("as")?.to_owned();
    let cancelled = CancellationToken::new();
    objects.add(&name, Object::Events(cancelled.clone()));
    let writer = Arc::clone(objects);
    objects.spawn(async move {
        let forward = async {
            while let Ok(leader) = observer.next().await {
                let value = text(&leader.value);
                let event = json!({"type": "leader", "value": value, "token": leader.token});
                writer.write(json!({"on": name, "event": event})).await;
            }
        };
        cancelled.run_until_cancelled(forward).await;
    });
    Ok(json!({}))
}
