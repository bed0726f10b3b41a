//! The way from a call to the member below.
//!
//! [`Context::admit`] is the only source of an [`Access`], which is the only way to propose, to
//! read, to watch and to touch leases: the core's [`Handle`] is private to this module. `admit`
//! takes the request itself and judges it ([`super::authorization`]), so no handler can do anything
//! for a caller that may not, and every command carries its caller into the log. A stream is opened
//! with [`Context::open`], and has its [`Gate`] judge each of its messages.
//!
//! # While permissions change
//!
//! A request is judged by the users and roles that this member knows. These may be out of date, and
//! may change while the request is worked on.
//!
//! - *Commands* are judged again by the state machine. One that was admitted at an older auth
//!   revision is rejected there, and [`Access::propose`] judges and proposes it again, unless the
//!   revision is in the token, which the client then has to renew.
//! - *Reads* are judged again after the data was read and before any of it is returned, if users or
//!   roles have changed since the request was admitted. All reads of an [`Access`] do that.
//! - *Watchers* are judged again before the next event.
//! - *Passwords* count as permissions do: a new one ends what is still open by a token of the old
//!   one, such as a watcher or a call that waits for a lock. The end of a token's time ends
//!   nothing.
//! - *A refusal* may be out of date as well: the member first catches up with the leader and judges
//!   once more. So a permission counts on every member as soon as it was granted.
//!
//! While authentication is disabled, all of this is one atomic load for each request, and one for
//! each read.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use conclave_proto::ApiError;
use conclave_proto::etcdserverpb::WatchRequest;
use conclave_storage::MemberId;
use conclave_storage::auth::{Auth, AuthMark};
use prometheus::IntCounter;
use tokio_stream::Stream;
use tonic::metadata::MetadataMap;
use tonic::{Extensions, Request, Response, Status};

use conclave_core::caller::{Caller, User};
use conclave_core::handle::Handle;
use conclave_core::limits;
use conclave_core::trace::Span;
use conclave_core::watch::{self, Responses};

use super::authenticator::Authenticator;
use super::authorization::{Asker, Guarded};
use super::credential::{Credential, Identified};
use super::stream::{Ended, Ending};
use super::{status, validate};
use crate::audit::{Note, Outcome, Proof};
use crate::fair_use::Watches;
use crate::method::{Method, Permission};
use crate::metrics::{Calls, Metrics, Stats};

mod access;
mod viewer;

pub(in crate::rpc) use access::Access;
use viewer::StreamViewer;

/// A stream whose client asked for a leader ends after this many election timeouts without one: a
/// successful election must not end it.
const LEADERLESS_ELECTIONS: u32 = 3;

/// The entrance to the member, which every service holds. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Context {
    entrance: Arc<Entrance>,
}

struct Entrance {
    handle: Handle,
    authenticator: Arc<Authenticator>,
    calls: Arc<Calls>,
    stats: Arc<Stats>,
}

/// Judges the messages of a stream. Cheap to clone.
#[derive(Clone)]
pub(super) struct Gate {
    entrance: Arc<Entrance>,
    permission: Permission,
    credential: Option<Credential>,
    /// The call's record for the audit log; `None` without an audit log.
    note: Option<Arc<Note>>,
    /// Parent of the spans of all work for the call.
    span: Span,
}

/// A request that was judged, and its caller.
struct Guard {
    credential: Option<Credential>,
    caller: Option<Identified>,
    /// The hash of the password that the caller's token stands for.
    password: Option<Bytes>,
    permission: Permission,
    request: Box<dyn Guarded>,
}

impl Context {
    pub(crate) fn new(
        handle: Handle,
        metrics: &Metrics,
        authenticator: Arc<Authenticator>,
    ) -> Context {
        Context {
            entrance: Arc::new(Entrance {
                handle,
                authenticator,
                calls: Arc::clone(metrics.calls()),
                stats: Arc::clone(metrics.stats()),
            }),
        }
    }

    /// Finds out who makes a call, and judges its request.
    pub(super) async fn admit<T: Guarded + Clone>(
        &self,
        method: Method,
        request: &Request<T>,
    ) -> Result<Access, Status> {
        let gate = self.open(method, request.extensions()).await;
        let judged = gate.judge(request.get_ref()).await;
        judged.map_err(status::of_api)
    }

    /// Opens a stream. Who sends its messages is found out with each of them.
    pub(super) async fn open(&self, method: Method, extensions: &Extensions) -> Gate {
        Gate {
            entrance: Arc::clone(&self.entrance),
            permission: method.permission(),
            credential: self.entrance.credential(extensions).await,
            note: extensions.get::<Arc<Note>>().cloned(),
            span: span_of(extensions),
        }
    }
}

impl Entrance {
    /// Returns the credential of a call. If this member has not applied the login that gave it, it
    /// catches up with the leader first: authentication may have been enabled in an entry just
    /// before. A token with an index that no login has costs no more than that.
    async fn credential(&self, extensions: &Extensions) -> Option<Credential> {
        let credential = extensions.get::<Credential>()?.clone();
        if credential.is_ahead_of(&self.handle) {
            // The future is large, and rarely needed. Without the login, the token is unknown.
            let _ = Box::pin(self.handle.linearize()).await;
        }
        Some(credential)
    }

    fn mark(&self) -> AuthMark {
        self.handle.reader().auth_mark()
    }

    /// Catches up with the leader, if there is one. Returns true if users or roles have changed.
    async fn has_news_since(&self, mark: AuthMark) -> bool {
        let has_leader = self.handle.status().leader != MemberId::NONE;
        has_leader && self.handle.linearize().await.is_ok() && self.mark() != mark
    }

    /// Makes the stream of a call's responses from `items`.
    fn stream<S>(&self, method: Method, metadata: &MetadataMap, items: S) -> Response<Ended<S>> {
        let ending = self.ending(validate::requires_leader(metadata.as_ref()));
        Response::new(Ended::new(items, self.calls.sent(method), ending))
    }

    /// Returns a future that resolves when a response stream must end early, with its status.
    fn ending(&self, requires_leader: bool) -> Ending {
        let handle = self.handle.clone();
        Box::pin(async move {
            let stopping = handle.stopping().clone();
            if !requires_leader {
                stopping.cancelled().await;
                return status::of_api(ApiError::Stopped);
            }
            tokio::select! {
                biased;
                () = stopping.cancelled() => status::of_api(ApiError::Stopped),
                () = leader_lost(&handle) => status::of_api(ApiError::NoLeader),
            }
        })
    }
}

impl Gate {
    /// Judges a request.
    pub(super) async fn judge<T: Guarded + Clone>(&self, request: &T) -> Result<Access, ApiError> {
        let Gate { entrance, note, .. } = self;
        if let Some(note) = note {
            note.describe(|content| request.describe(content));
        }
        let mark = entrance.mark();
        if !mark.is_enabled() {
            let handle = entrance.handle.in_the_name_of(Caller::Anonymous);
            return Ok(Access {
                handle: handle.inside(self.span.clone()),
                entrance: Arc::clone(entrance),
                mark,
                permission: self.permission,
                guard: None,
                note: note.clone(),
            });
        }
        match self.judge_now(request) {
            // The future is large, and rarely needed.
            Err(_) if Box::pin(entrance.has_news_since(mark)).await => self.judge_now(request),
            judged => judged,
        }
    }

    /// Judges a request by what this member knows now.
    fn judge_now<T: Guarded + Clone>(&self, request: &T) -> Result<Access, ApiError> {
        let entrance = &self.entrance;
        let auth = entrance.handle.reader().auth();
        let caller = self.identify()?;
        let guard = Guard {
            credential: self.credential.clone(),
            password: self.password_of(&auth, caller.as_ref()),
            caller,
            permission: self.permission,
            request: Box::new(request.clone()),
        };
        guard.judge(&auth)?;
        let handle = entrance.handle.in_the_name_of(guard.caller_at(&auth));
        Ok(Access {
            handle: handle.inside(self.span.clone()),
            entrance: Arc::clone(entrance),
            mark: auth.mark(),
            permission: self.permission,
            guard: Some(Arc::new(guard)),
            note: self.note.clone(),
        })
    }

    /// Returns the user who sends messages. Methods that need no permission are for callers who
    /// may have an old token, or none.
    fn identify(&self) -> Result<Option<Identified>, ApiError> {
        match &self.credential {
            Some(credential) if self.permission != Permission::Nothing => {
                let Entrance {
                    handle,
                    authenticator,
                    ..
                } = &*self.entrance;
                let identified = credential.identify(handle, authenticator);
                if let Some(note) = &self.note {
                    let user = identified.as_ref().ok().map(|found| found.user.clone());
                    note.identify(self.proof(), user);
                }
                identified.map(Some)
            }
            Some(_) | None => Ok(None),
        }
    }

    /// Returns the hash of the password that a token stands for. `auth` was read before the caller
    /// was identified, so the token is not of a password before this one.
    fn password_of(&self, auth: &Auth, caller: Option<&Identified>) -> Option<Bytes> {
        match self.credential {
            Some(Credential::Token(_)) => auth.user(&caller?.user)?.password().cloned(),
            Some(Credential::CommonName(_)) | None => None,
        }
    }

    /// Returns how the caller proves who it is.
    fn proof(&self) -> Proof {
        let proof = |of: &Credential| of.proof(&self.entrance.authenticator);
        self.credential.as_ref().map_or(Proof::None, proof)
    }

    /// Serves the watchers of a stream, each of which is judged, and has a place in `watches` if
    /// those of its client are limited.
    pub(super) fn watch<I>(&self, requests: I, watches: Option<Watches>) -> Responses<Status>
    where
        I: Stream<Item = Result<WatchRequest, Status>> + Send + Unpin + 'static,
    {
        let viewer = StreamViewer::new(self.clone(), watches);
        watch::serve(self.entrance.handle.watches().clone(), requests, viewer)
    }

    /// Records a message of a stream, which was judged before, as it ended.
    pub(super) fn record<T>(&self, ended: &Result<T, Status>) {
        if let Some(note) = &self.note {
            note.end(ended.as_ref().err().map_or(Outcome::OK, Outcome::of));
        }
    }

    /// Records a message of a stream that could not be decoded.
    pub(super) fn record_unreadable(&self, status: &Status) {
        let Some(note) = &self.note else {
            return;
        };
        // The facts in the note are those of the message before.
        note.describe(|_| {});
        if self.entrance.mark().is_enabled() {
            // Notes the user. One who is not known is refused no more than this.
            let _ = self.identify();
        }
        note.end(Outcome::of(status));
    }

    /// Makes `items` the response stream of a call.
    pub(super) fn stream<S>(
        &self,
        method: Method,
        metadata: &MetadataMap,
        items: S,
    ) -> Response<Ended<S>> {
        self.entrance.stream(method, metadata, items)
    }

    /// Returns the counters of what calls ask for.
    pub(super) fn stats(&self) -> &Stats {
        &self.entrance.stats
    }

    /// Returns the counter of messages that clients send on streams of this method.
    pub(super) fn received(&self, method: Method) -> IntCounter {
        self.entrance.calls.received(method)
    }
}

impl Guard {
    /// Judges the request.
    fn judge(&self, auth: &Auth) -> Result<(), ApiError> {
        let asker = self.asker(auth);
        asker.judge(self.permission, &*self.request)?;
        check_password(auth, asker.user, self.password.as_ref())
    }

    fn asker<'a>(&'a self, auth: &'a Auth) -> Asker<'a> {
        let caller = self.caller.as_ref();
        Asker {
            auth,
            user: caller.map_or("", |caller| &caller.user),
            auth_revision: caller.and_then(|caller| caller.auth_revision),
        }
    }

    /// Returns the one in whose name the request's commands are proposed.
    fn caller_at(&self, auth: &Auth) -> Caller {
        match &self.caller {
            None => Caller::Anonymous,
            Some(Identified {
                user,
                auth_revision,
            }) => Caller::User(Arc::new(User {
                name: user.to_string(),
                auth_revision: auth_revision.unwrap_or(auth.revision()),
            })),
        }
    }
}

/// Checks that the password of a user is still the one that its token stands for, if it does for
/// one. What a user began with an old password ends like what began with a revoked role.
fn check_password(auth: &Auth, user: &str, password: Option<&Bytes>) -> Result<(), ApiError> {
    let current = auth.user(user).and_then(|user| user.password());
    match password.is_none() || password == current {
        true => Ok(()),
        false => Err(ApiError::InvalidAuthToken),
    }
}

/// Returns the span of a call, which the edge has begun if the call is traced.
fn span_of(extensions: &Extensions) -> Span {
    extensions.get::<Span>().cloned().unwrap_or_default()
}

/// Resolves when there has been no leader for [`LEADERLESS_ELECTIONS`].
async fn leader_lost(handle: &Handle) {
    let mut raft_statuses = handle.raft_statuses();
    loop {
        let lost = raft_statuses
            .wait_for(|raft_status| raft_status.leader == MemberId::NONE)
            .await
            .is_ok();
        let found = raft_statuses.wait_for(|raft_status| raft_status.leader != MemberId::NONE);
        if !lost
            || tokio::time::timeout(leaderless_patience(handle), found)
                .await
                .is_err()
        {
            return;
        }
    }
}

fn leaderless_patience(handle: &Handle) -> Duration {
    // The request timeout is made of a constant and two election timeouts.
    let elections = handle
        .settings()
        .request_timeout
        .saturating_sub(limits::REQUEST_TIMEOUT_BASE);
    elections / 2 * LEADERLESS_ELECTIONS
}
