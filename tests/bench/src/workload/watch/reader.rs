//! The receiving end of one watch stream.

use std::sync::Arc;

use bytes::Buf;
use conclave_proto::etcdserverpb::watch_request::RequestUnion;
use conclave_proto::etcdserverpb::{WatchCreateRequest, WatchRequest, WatchResponse};
use conclave_proto::mvccpb::Event;
use conclave_proto::mvccpb::event::EventType;

use crate::data::Keys;
use crate::wire::{Duplex, Failure, Wire};
use crate::workload::path;
use crate::workload::watch::Board;

/// The watchers assigned to one stream.
pub(super) struct Share {
    /// For each watcher, the number of the first put it receives, which is its key's ordinal.
    pub(super) first_puts: Vec<u64>,
    /// The distance between the numbers of two puts to one key.
    pub(super) step: u64,
}

/// A stream whose watchers are all acknowledged.
pub(super) struct Reader {
    stream: Duplex,
    watchers: Vec<Watcher>,
    board: Arc<Board>,
}

/// The next event a watcher must receive.
struct Watcher {
    next_put: u64,
    step: u64,
    last_revision: i64,
}

impl Reader {
    /// Opens a stream and its watchers. We choose their ids, from 1, so that the order of the
    /// acknowledgements does not matter.
    pub(super) async fn open(
        wire: &Wire,
        keys: &Keys,
        share: Share,
        board: Arc<Board>,
    ) -> Result<Reader, Failure> {
        let mut requests = share
            .first_puts
            .iter()
            .zip(1..)
            .map(|(&ordinal, watch_id)| {
                let key = keys.key(ordinal);
                let create = WatchCreateRequest {
                    key,
                    watch_id,
                    ..Default::default()
                };
                WatchRequest {
                    request_union: Some(RequestUnion::CreateRequest(create)),
                }
            });
        let first = requests
            .next()
            .ok_or_else(|| Failure::new("a stream without watchers"))?;
        let mut stream = wire.method(path::WATCH)?.open(&first).await?;
        for request in requests {
            stream.outgoing.send(&request)?;
        }
        let mut watchers: Vec<Option<Watcher>> = share.first_puts.iter().map(|_| None).collect();
        for _ in 0..watchers.len() {
            let answer: WatchResponse = stream.incoming.expect().await?;
            if !answer.created || answer.canceled {
                return Err(Failure(format!("watch refused: {}", answer.cancel_reason)));
            }
            let place = place(answer.watch_id, watchers.len())?;
            let watcher = Watcher {
                next_put: share.first_puts[place],
                step: share.step,
                last_revision: 0,
            };
            if watchers[place].replace(watcher).is_some() {
                return Err(Failure::new("check: a watcher was acknowledged twice"));
            }
        }
        let watchers: Vec<Watcher> = watchers.into_iter().flatten().collect();
        Ok(Reader {
            stream,
            watchers,
            board,
        })
    }

    /// Reads until the stream breaks; the board knows whether that is expected.
    pub(super) async fn run(mut self) {
        loop {
            let result = match self.stream.incoming.expect::<WatchResponse>().await {
                Ok(response) => self.receive(&response),
                Err(failure) => Err(failure),
            };
            if let Err(failure) = result {
                return self.board.fail(failure);
            }
        }
    }

    fn receive(&mut self, response: &WatchResponse) -> Result<(), Failure> {
        if response.canceled {
            return Err(Failure(format!(
                "watch canceled: {}",
                response.cancel_reason
            )));
        }
        if response.events.is_empty() {
            return Ok(());
        }
        let place = place(response.watch_id, self.watchers.len())?;
        let now = response.header.as_ref().map_or(0, |header| header.revision);
        for event in &response.events {
            let number = self.watchers[place].hear(event, now)?;
            self.board.deliver(number);
        }
        Ok(())
    }
}

impl Watcher {
    /// Checks one event of a response of revision `now`. Returns the number of its put.
    fn hear(&mut self, event: &Event, now: i64) -> Result<u64, Failure> {
        let kv = match &event.kv {
            Some(kv) if event.r#type() == EventType::Put && kv.value.len() >= size_of::<u64>() => {
                kv
            }
            Some(_) | None => return Err(Failure::new("check: an unexpected event")),
        };
        let number = (&kv.value[..]).get_u64();
        if number < self.next_put {
            return Err(Failure::new("check: a watcher got an event twice"));
        }
        if number > self.next_put {
            return Err(Failure::new("check: a watcher missed an event"));
        }
        if kv.mod_revision <= self.last_revision || kv.mod_revision > now {
            return Err(Failure::new("check: revisions of a watcher out of order"));
        }
        self.next_put += self.step;
        self.last_revision = kv.mod_revision;
        Ok(number)
    }
}

/// Watch ids are counted from 1.
fn place(watch_id: i64, watchers: usize) -> Result<usize, Failure> {
    usize::try_from(watch_id - 1)
        .ok()
        .filter(|place| *place < watchers)
        .ok_or_else(|| Failure::new("check: an unknown watch id"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use conclave_proto::mvccpb::KeyValue;

    fn event(number: u64, mod_revision: i64) -> Event {
        let value = Bytes::copy_from_slice(&number.to_be_bytes());
        Event {
            kv: Some(KeyValue {
                value,
                mod_revision,
                ..Default::default()
            }),
            ..Event::default()
        }
    }

    #[test]
    fn each_event_once_and_in_order() {
        let watcher = || Watcher {
            next_put: 4,
            step: 4,
            last_revision: 10,
        };
        assert_eq!(watcher().hear(&event(4, 11), 11), Ok(4));
        let mut second = watcher();
        assert_eq!(second.hear(&event(4, 11), 12), Ok(4));
        assert_eq!(second.hear(&event(8, 12), 12), Ok(8));
        let text = |number, revision, now| watcher().hear(&event(number, revision), now);
        assert!(text(0, 11, 11).is_err_and(|failure| failure.0.contains("twice")));
        assert!(text(8, 11, 11).is_err_and(|failure| failure.0.contains("missed")));
        assert!(text(4, 10, 11).is_err_and(|failure| failure.0.contains("order")));
        assert!(text(4, 12, 11).is_err_and(|failure| failure.0.contains("order")));
    }

    #[test]
    fn watch_ids_are_places() {
        assert_eq!(place(1, 2), Ok(0));
        assert_eq!(place(2, 2), Ok(1));
        assert!(place(0, 2).is_err() && place(3, 2).is_err() && place(-1, 2).is_err());
    }
}
