//! The client of a watch stream.

use std::sync::Arc;

use conclave_proto::ApiError;
use conclave_proto::etcdserverpb::ResponseHeader;
use conclave_storage::auth::AuthMark;
use conclave_storage::{KeyRange, Revision};
use parking_lot::Mutex;

use conclave_core::trace::Span;
use conclave_core::watch::Viewer;

use super::Gate;
use crate::audit::Outcome;
use crate::fair_use::Watches;
use crate::rpc::audited::Audited as _;
use crate::rpc::status;

/// The client of a watch stream.
pub(super) struct StreamViewer {
    gate: Gate,
    /// The user for whom the last watcher was created. A watcher outlives the token of its user.
    user: Mutex<Option<Arc<str>>>,
    /// The places of the watchers; `None` if they are not limited.
    watches: Option<Mutex<Watches>>,
}

impl StreamViewer {
    pub(super) fn new(gate: Gate, watches: Option<Watches>) -> StreamViewer {
        StreamViewer {
            gate,
            user: Mutex::default(),
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
        let caller = judged?.guard.and_then(|guard| guard.caller.clone());
        *self.user.lock() = caller.map(|caller| caller.user);
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
        let user = self.user.lock().clone();
        let permits = auth.permits_now(user.as_deref().unwrap_or_default());
        let judged = permits.and_then(|permits| permits.read(range));
        if let (Some(note), Err(error)) = (&self.gate.note, &judged) {
            note.describe(|content| range.describe(content));
            note.identify(self.gate.proof(), user);
            note.end(Outcome::of(&status::of_api(*error)));
        }
        judged
    }
}
