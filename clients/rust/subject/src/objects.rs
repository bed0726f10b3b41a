//! Objects that requests have created, by name.

use std::collections::HashMap;
use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use conclave_client::recipes::{
    Cache, Held, Inside, Item, Leadership, Membership, OwnerEvent, OwnerEvents,
};
use conclave_client::{Client, Session};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::failure::Failure;
use crate::leftovers;

/// Everything that requests have created.
pub(crate) struct Objects {
    lines: mpsc::Sender<Value>,
    own_tasks: Arc<AtomicUsize>,
    sockets_at_start: HashSet<String>,
    named: Mutex<HashMap<String, Object>>,
    running: Mutex<HashMap<String, CancellationToken>>,
}

/// Objects that are kept until a request takes them.
pub(crate) type Kept<T> = Arc<Mutex<Option<T>>>;

/// Something with a name.
#[derive(Clone)]
pub(crate) enum Object {
    Client(Client),
    Session(Session),
    /// A lock or permits. Empty when it is released.
    Held(i64, Kept<Held>),
    Leadership(Kept<Arc<Leadership>>),
    Inside(Kept<Inside>),
    Item(Kept<Item>),
    Membership(Kept<Membership>),
    Cache(Arc<Cache>, CancellationToken),
    /// A watch, an observer: what forwards its events.
    Events(CancellationToken),
}

impl Objects {
    pub(crate) fn new(lines: mpsc::Sender<Value>) -> Self {
        Self {
            lines,
            own_tasks: Arc::default(),
            sockets_at_start: leftovers::sockets().into_iter().collect(),
            named: Mutex::default(),
            running: Mutex::default(),
        }
    }

    /// Runs a task of the subject, which is not the library's.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let own = Arc::clone(&self.own_tasks);
        own.fetch_add(1, Ordering::SeqCst);
        tokio::spawn(async move {
            task.await;
            own.fetch_sub(1, Ordering::SeqCst);
        });
    }

    pub(crate) async fn write(&self, line: Value) {
        // An error means that nobody reads any more.
        let _ = self.lines.send(line).await;
    }

    pub(crate) fn begin(&self, id: &Value) -> CancellationToken {
        let token = CancellationToken::new();
        lock(&self.running).insert(id.to_string(), token.clone());
        token
    }

    pub(crate) fn end(&self, id: &Value) {
        lock(&self.running).remove(&id.to_string());
    }

    pub(crate) fn cancel(&self, id: &Value) {
        if let Some(token) = lock(&self.running).get(&id.to_string()) {
            token.cancel();
        }
    }

    pub(crate) fn add(&self, name: &str, object: Object) {
        lock(&self.named).insert(name.to_owned(), object);
    }

    fn find(&self, name: &str) -> Result<Object, Failure> {
        let found = lock(&self.named).get(name).cloned();
        found.ok_or_else(|| Failure::invalid(format!("nothing is named {name:?}")))
    }

    pub(crate) fn client(&self, name: &str) -> Result<Client, Failure> {
        match self.find(name)? {
            Object::Client(client) => Ok(client),
            _ => Err(Failure::invalid(format!("{name:?} is no client"))),
        }
    }

    pub(crate) fn session(&self, name: &str) -> Result<Session, Failure> {
        match self.find(name)? {
            Object::Session(session) => Ok(session),
            _ => Err(Failure::invalid(format!("{name:?} is no session"))),
        }
    }

    /// The token of a lock, and the lock unless it is released.
    pub(crate) fn held(&self, name: &str) -> Result<(i64, Kept<Held>), Failure> {
        match self.find(name)? {
            Object::Held(token, held) => Ok((token, held)),
            _ => Err(Failure::invalid(format!("{name:?} is not held"))),
        }
    }

    pub(crate) fn leadership(&self, name: &str) -> Result<Kept<Arc<Leadership>>, Failure> {
        match self.find(name)? {
            Object::Leadership(leadership) => Ok(leadership),
            _ => Err(Failure::invalid(format!("{name:?} is no leadership"))),
        }
    }

    /// A place in a double barrier.
    pub(crate) fn inside(&self, name: &str) -> Result<Kept<Inside>, Failure> {
        match self.find(name)? {
            Object::Inside(inside) => Ok(inside),
            _ => Err(Failure::invalid(format!(
                "{name:?} is in no double barrier"
            ))),
        }
    }

    pub(crate) fn item(&self, name: &str) -> Result<Kept<Item>, Failure> {
        match self.find(name)? {
            Object::Item(item) => Ok(item),
            _ => Err(Failure::invalid(format!("{name:?} is no item"))),
        }
    }

    pub(crate) fn membership(&self, name: &str) -> Result<Kept<Membership>, Failure> {
        match self.find(name)? {
            Object::Membership(membership) => Ok(membership),
            _ => Err(Failure::invalid(format!("{name:?} is no membership"))),
        }
    }

    pub(crate) fn cache(&self, name: &str) -> Result<Arc<Cache>, Failure> {
        match self.find(name)? {
            Object::Cache(cache, _) => Ok(cache),
            _ => Err(Failure::invalid(format!("{name:?} is no cache"))),
        }
    }

    /// Drops a cache.
    pub(crate) fn end_cache(&self, name: &str) {
        if let Some(Object::Cache(_, events)) = lock(&self.named).remove(name) {
            events.cancel();
        }
    }

    /// Ends the events of a watch or an observer.
    pub(crate) fn end_events(&self, name: &str) -> Result<(), Failure> {
        match self.find(name)? {
            Object::Events(token) => {
                token.cancel();
                Ok(())
            }
            _ => Err(Failure::invalid(format!("{name:?} has no events to end"))),
        }
    }

    /// Forwards the events of an owner.
    pub(crate) fn forward_owner(self: &Arc<Self>, name: &str, mut events: OwnerEvents) {
        let (objects, name) = (Arc::clone(self), name.to_owned());
        self.spawn(async move {
            while let Some(event) = events.next().await {
                let kind = match event {
                    OwnerEvent::Lost => "lost",
                    OwnerEvent::Revoke => "revoke",
                };
                let line = json!({"on": name, "event": {"type": kind}});
                objects.write(line).await;
            }
        });
    }

    /// The library's leftovers: their number, and a list for people.
    pub(crate) fn leftovers(&self) -> Value {
        let tasks = leftovers::tasks(self.own_tasks.load(Ordering::SeqCst));
        let sockets: Vec<_> = leftovers::sockets()
            .into_iter()
            .filter(|socket| !self.sockets_at_start.contains(socket))
            .collect();
        let mut what = sockets.clone();
        if tasks > 0 {
            what.push(format!("{tasks} tasks"));
        }
        json!({"count": tasks + sockets.len(), "what": what})
    }

    pub(crate) async fn close_all(&self) {
        let objects: Vec<_> = lock(&self.named)
            .drain()
            .map(|(_, object)| object)
            .collect();
        for object in objects {
            if let Object::Client(client) = object {
                client.close().await;
            }
        }
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
