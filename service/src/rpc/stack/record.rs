//! Records calls in the audit log ([`crate::audit`]).
//!
//! A call gets a [`Note`] in the extensions of its request, where the handlers find it and add what
//! they know: the caller and the content when the request is judged, the revision when there is a
//! reply. The note ends with the status that the client gets. Without an audit log there is no
//! note, and all of this is one branch.

use std::sync::Arc;

use http::Request;
use tonic::Status;

use super::follow::{End, Follow, Ongoing};
use super::method_of;
use crate::audit::{Audit, Note, Origin, Outcome};
use crate::method::Method;
use crate::rpc::credential::Peer;

/// Records the calls of the public API, if there is an audit log.
#[derive(Clone)]
pub(crate) struct Record {
    pub(super) audit: Option<Arc<Audit>>,
}

impl Follow for Record {
    type Call = Recorded;

    fn begin<B>(&self, request: &mut Request<B>) -> Option<Recorded> {
        let audit = self.audit.as_ref()?;
        let method = method_of(request)?;
        let peer = Peer::of(request.extensions());
        let origin = Origin {
            remote: peer.and_then(|peer| peer.remote),
            certificate: peer.and_then(|peer| peer.common_name.clone()),
        };
        let note = Arc::new(Note::new(audit, method, origin));
        request.extensions_mut().insert(Arc::clone(&note));
        Some(Recorded {
            note: Some(note),
            method,
            is_begun: false,
        })
    }
}

/// A call that has not ended. One that is dropped counts as canceled, since its client has gone
/// away.
pub(crate) struct Recorded {
    /// `None` once the call is recorded.
    note: Option<Arc<Note>>,
    method: Method,
    /// True if the call was recorded when it began; then only a refusal is recorded at its end.
    is_begun: bool,
}

impl Recorded {
    fn end(&mut self, outcome: Outcome) {
        match self.note.take() {
            Some(note) if self.is_begun => note.end_if_refused(outcome),
            Some(note) => note.end(outcome),
            None => {}
        }
    }
}

impl Ongoing for Recorded {
    fn begun(&mut self) {
        match self.method {
            // Each of their messages is recorded when it is judged or answered.
            Method::Watch | Method::LeaseKeepAlive => self.note = None,
            // It has no end of its own.
            Method::Observe => {
                self.is_begun = true;
                if let Some(note) = &self.note {
                    note.end(Outcome::OK);
                }
            }
            _ => {}
        }
    }

    fn ended(mut self, end: End<'_>) {
        match end {
            End::Fields(fields) => {
                if let Some(status) = Status::from_header_map(fields) {
                    self.end(Outcome::of(&status));
                }
            }
            End::Reset(status) => self.end(Outcome::of(status)),
            End::Missing => {}
        }
    }
}

impl Drop for Recorded {
    fn drop(&mut self) {
        self.end(Outcome::CANCELED);
    }
}
