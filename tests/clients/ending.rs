//! The end of every scenario: clients are closed and leave nothing behind (R5, R7), and the
//! subjects end when their input ends.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::failure::Failure;
use crate::reply::shown;
use crate::subject::Subject;
use crate::world::{Party, World};

/// Closing waits for the revocation of leases, at most for the deadline.
const CLOSE: Duration = Duration::from_secs(10);

/// The time in which tasks and sockets notice that they were ended.
const FADE: Duration = Duration::from_secs(5);

const POLL: Duration = Duration::from_millis(50);

/// Ends all subjects that run.
pub(crate) async fn end(world: &mut World) -> Result<(), Failure> {
    world.heal();
    for (name, party) in &mut world.parties {
        let ended = end_party(party).await;
        ended.map_err(|failure| Failure::new(format!("{name}: {failure}")))?;
    }
    Ok(())
}

async fn end_party(party: &mut Party) -> Result<(), Failure> {
    let Some(subject) = &party.subject else {
        return Ok(());
    };
    if party.is_paused {
        subject.signal("CONT").await;
    }
    for client in std::mem::take(&mut party.clients) {
        let sent = subject.send("client.close", json!({"client": client}));
        let late = |_| Failure::new(format!("`{client}` is not closed after {CLOSE:?} (R7)"));
        let reply = timeout(CLOSE, sent.reply()).await.map_err(late)??;
        if reply.is_err() {
            return Err(Failure::new(format!("closing a client: {}", shown(&reply))));
        }
    }
    expect_nothing_left(subject).await?;
    let status = subject.end().await?;
    match status.success() {
        true => Ok(()),
        false => Err(Failure::new(format!("the subject ended with {status}"))),
    }
}

async fn expect_nothing_left(subject: &Subject) -> Result<(), Failure> {
    let deadline = Instant::now() + FADE;
    let mut ticks = interval(POLL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let sent = subject.send("leftovers", json!({}));
        let late = |_| Failure::new("`leftovers` is not answered");
        let left: Value = match timeout(CLOSE, sent.reply()).await.map_err(late)?? {
            Ok(left) => left,
            Err(error) => return Err(Failure::new(format!("`leftovers`: {error}"))),
        };
        if left["count"] == 0 {
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err(Failure::new(format!(
                "left when all clients are closed: {left}"
            )));
        }
        ticks.tick().await;
    }
}
