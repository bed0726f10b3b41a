//! A watcher that resumes, whatever happens to its member, and keeps all it was told.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use conclave_proto::etcdserverpb as pb;
use pb::watch_client::WatchClient;
use pb::watch_request::RequestUnion;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::{Event, lock};
use crate::eventually;
use crate::node::connect;

/// Between attempts at a member that is not there.
const RETRY: Duration = Duration::from_millis(50);

/// A watcher in a task of its own, of one member or of several in turn.
#[derive(Debug)]
pub struct Follower {
    name: String,
    from: i64,
    prefix: String,
    told: Arc<Mutex<Told>>,
    task: JoinHandle<()>,
}

/// What it was told, in the order of telling.
#[derive(Debug, Default)]
struct Told {
    events: Vec<(Event, Instant)>,
    resumed: usize,
    refused: Option<String>,
}

impl Follower {
    /// Watches all keys that begin with `prefix`, from a revision on, at the first endpoint that
    /// can be reached; at the next one when the stream ends.
    pub fn start(name: &str, endpoints: &[String], prefix: &str, from: i64) -> Self {
        let told = Arc::new(Mutex::new(Told::default()));
        let follow = follow(
            endpoints.to_vec(),
            prefix.to_owned(),
            from,
            Arc::clone(&told),
        );
        Self {
            name: name.to_owned(),
            from,
            prefix: prefix.to_owned(),
            told,
            task: tokio::spawn(follow),
        }
    }

    /// What it is called.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The first revision it asked for.
    pub fn from(&self) -> i64 {
        self.from
    }

    /// What the keys it watches begin with.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// All events so far.
    pub fn events(&self) -> Vec<Event> {
        let told = lock(&self.told);
        told.events.iter().map(|(event, _)| event.clone()).collect()
    }

    /// The removals so far, and when they arrived.
    pub fn removals(&self) -> Vec<(String, Instant)> {
        let told = lock(&self.told);
        let removed = told.events.iter().filter(|(event, _)| event.put.is_none());
        removed
            .map(|(event, at)| (event.key.clone(), *at))
            .collect()
    }

    /// How often it had to open its stream again.
    pub fn resumed(&self) -> usize {
        lock(&self.told).resumed
    }

    /// Waits until it was told of this revision, or a later one.
    pub async fn reach(&self, revision: i64) {
        eventually(
            &format!("{} to be told of {revision}", self.name),
            || async {
                let told = lock(&self.told);
                assert!(told.refused.is_none(), "{}: {:?}", self.name, told.refused);
                let (last, _) = told.events.last()?;
                (last.revision >= revision).then_some(())
            },
        )
        .await;
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Everything a member tells of revisions 1 to `last`, of all keys.
pub async fn tell_all(endpoint: &str, last: i64) -> Vec<Event> {
    let follower = Follower::start(
        &format!("the history at {endpoint}"),
        &[endpoint.to_owned()],
        "",
        1,
    );
    follower.reach(last).await;
    let mut events = follower.events();
    events.retain(|event| event.revision <= last);
    events
}

async fn follow(endpoints: Vec<String>, prefix: String, from: i64, told: Arc<Mutex<Told>>) {
    let mut next = from;
    let mut ticks = tokio::time::interval(RETRY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    for endpoint in endpoints.iter().cycle() {
        ticks.tick().await;
        // However it ends, there is more to come.
        let _ = watch(endpoint, &prefix, &mut next, &told).await;
        let mut told = lock(&told);
        told.resumed += 1;
        if told.refused.is_some() {
            return;
        }
    }
}

/// One stream, until it ends.
async fn watch(
    endpoint: &str,
    prefix: &str,
    next: &mut i64,
    told: &Mutex<Told>,
) -> Result<(), Status> {
    let (requests, receiver) = mpsc::channel(1);
    let create = create(prefix, *next);
    requests.try_send(create).expect("the channel holds one");
    let mut stub = WatchClient::new(connect(endpoint)).max_decoding_message_size(usize::MAX);
    let mut stream = stub
        .watch(ReceiverStream::new(receiver))
        .await?
        .into_inner();
    while let Some(response) = stream.message().await? {
        let arrived = Instant::now();
        let mut told = lock(told);
        if response.canceled {
            // A member without a leader may end a watch; one that has forgotten what was asked
            // for, or is asked what it should not be, is the test's to know.
            let forgotten = response.compact_revision > 0;
            told.refused = forgotten.then(|| format!("{response:?}"));
            return Ok(());
        }
        for event in &response.events {
            let event = Event::of(event);
            *next = (*next).max(event.revision + 1);
            told.events.push((event, arrived));
        }
    }
    drop(requests);
    Ok(())
}

fn create(prefix: &str, start_revision: i64) -> pb::WatchRequest {
    let (key, range_end) = match prefix {
        "" => (Bytes::from_static(b"\0"), Bytes::from_static(b"\0")),
        prefix => (Bytes::copy_from_slice(prefix.as_bytes()), after(prefix)),
    };
    let create = pb::WatchCreateRequest {
        key,
        range_end,
        start_revision,
        ..Default::default()
    };
    let request_union = Some(RequestUnion::CreateRequest(create));
    pb::WatchRequest { request_union }
}

/// The first key after all that begin with `prefix`, which ends in an ASCII character.
pub fn after(prefix: &str) -> Bytes {
    let mut end = prefix.as_bytes().to_vec();
    if let Some(last) = end.last_mut() {
        *last += 1;
    }
    Bytes::from(end)
}
