//! A watcher that resumes after any failure of its member, and keeps all events it received.

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

/// Pause between attempts at a member that does not answer.
const RETRY: Duration = Duration::from_millis(50);

/// A watcher in its own task, of one member or of several in turn.
#[derive(Debug)]
pub struct Follower {
    name: String,
    from: i64,
    prefix: String,
    told: Arc<Mutex<Told>>,
    task: JoinHandle<()>,
}

/// The events received so far, in order of arrival.
#[derive(Debug, Default)]
struct Told {
    events: Vec<(Event, Instant)>,
    resumed: usize,
    refused: Option<String>,
}

impl Follower {
    /// Watches all keys with this prefix from a revision on, at the first endpoint that answers;
    /// moves to the next endpoint when the stream ends.
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

    /// Its name in reports.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The first revision it asked for.
    pub fn from(&self) -> i64 {
        self.from
    }

    /// The prefix of the keys it watches.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// All events so far.
    pub fn events(&self) -> Vec<Event> {
        let told = lock(&self.told);
        told.events.iter().map(|(event, _)| event.clone()).collect()
    }

    /// The removals so far, with their times of arrival.
    pub fn removals(&self) -> Vec<(String, Instant)> {
        let told = lock(&self.told);
        let removed = told.events.iter().filter(|(event, _)| event.put.is_none());
        removed
            .map(|(event, at)| (event.key.clone(), *at))
            .collect()
    }

    /// How often it reopened its stream.
    pub fn resumed(&self) -> usize {
        lock(&self.told).resumed
    }

    /// Waits until it has received an event of this revision or a later one.
    pub async fn reach(&self, revision: i64) {
        eventually(
            &format!("{} to reach revision {revision}", self.name),
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

/// All events of revisions 1 to `last`, of all keys, from one member.
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
        // However the stream ends, the watcher resumes.
        let _ = watch(endpoint, &prefix, &mut next, &told).await;
        let mut told = lock(&told);
        told.resumed += 1;
        if told.refused.is_some() {
            return;
        }
    }
}

/// Runs one stream until it ends.
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
            // A member without a leader may end a watch; the watcher resumes. A compacted revision
            // or an invalid request is an error that the test must see.
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

/// The first key after all keys with this prefix, which ends in an ASCII character.
pub fn after(prefix: &str) -> Bytes {
    let mut end = prefix.as_bytes().to_vec();
    if let Some(last) = end.last_mut() {
        *last += 1;
    }
    Bytes::from(end)
}
