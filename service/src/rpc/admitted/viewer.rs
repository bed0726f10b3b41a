//! The client of a watch stream.

use std::sync::Arc;

use bytes::Bytes;
use conclave_proto::ApiError;
use conclave_proto::etcdserverpb::ResponseHeader;
use conclave_storage::auth::AuthMark;
use conclave_storage::{KeyRange, Revision};
use parking_lot::Mutex;

use conclave_core::trace::Span;
use conclave_core::watch::Viewer;

use super::{Gate, check_password};
use crate::audit::Outcome;
use crate::fair_use::Watches;
use crate::rpc::audited::Audited as _;
use crate::rpc::status;

/// The client of a watch stream.
pub(super) struct StreamViewer {
    gate: Gate,
    /// The user for whom the last watcher was created. A watcher outlives the token of its user,
    /// but not the password.
    owner: Mutex<Owner>,
    /// The places of the watchers; `None` if they are not limited.
    watches: Option<Mutex<Watches>>,
}

/// The user of a watcher.
#[derive(Clone, Default)]
struct Owner {
    user: Option<Arc<str>>,
    /// The hash of the password that the user's token stands for.
    password: Option<Bytes>,
}

impl StreamViewer {
    pub(super) fn new(gate: Gate, watches: Option<Watches>) -> StreamViewer {
        StreamViewer {
            gate,
            owner: Mutex::default(),
            watches: watches.map(Mutex::new),
        }
    }
}

impl Viewer for StreamViewer {
    fn header(&self) -> ResponseHeader {
        self.gate.entrance.handle.header(Revision::default())
    }

    fn mark(&self) -> AuthMark {
        self.gate.entrance.mark()
    }

    fn span(&self) -> Span {
        self.gate.span.clone()
    }

    async fn permit(&self, range: &KeyRange) -> Result<(), ApiError> {
        if !self.mark().is_enabled() && self.gate.note.is_none() {
            return Ok(());
        }
        // There may be very many streams, and their futures must be small.
        let judged = Box::pin(self.gate.judge(range)).await;
        self.gate
            .record(&judged.as_ref().map_err(|error| status::of_api(*error)));
        let guard = judged?.guard;
        let owner = guard.map(|guard| Owner {
            user: guard.caller.as_ref().map(|caller| caller.user.clone()),
            password: guard.password.clone(),
        });
        *self.owner.lock() = owner.unwrap_or_default();
        Ok(())
    }

    fn add_watcher(&self) -> Result<(), String> {
        let now = self.gate.entrance.handle.clock().now();
        let added = self.watches.as_ref().map(|watches| watches.lock().add(now));
        added.unwrap_or(Ok(())).map_err(|refused| {
            // In the words of Go's gRPC, like other refusals of watchers.
            format!("rpc error: code = ResourceExhausted desc = {refused}")
        })
    }

    fn keep_watchers(&self, count: usize) {
        if let Some(watches) = &self.watches {
            watches.lock().keep(count);
        }
    }

    fn permit_still(&self, range: &KeyRange) -> Result<(), ApiError> {
        let auth = self.gate.entrance.handle.reader().auth();
        let Owner { user, password } = self.owner.lock().clone();
        let name = user.as_deref().unwrap_or_default();
        let permits = auth.permits_now(name);
        let judged = permits
            .and_then(|permits| permits.read(range))
            .and_then(|()| check_password(&auth, name, password.as_ref()));
        if let (Some(note), Err(error)) = (&self.gate.note, &judged) {
            note.describe(|content| range.describe(content));
            note.identify(self.gate.proof(), user);
            note.end(Outcome::of(&status::of_api(*error)));
        }
        judged
    }
}
