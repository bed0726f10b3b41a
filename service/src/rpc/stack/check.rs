//! The layer that refuses what this member cannot serve now, whatever the request.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};

use conclave_proto::ApiError;
use conclave_storage::MemberId;
use http::{HeaderMap, Request, Response};
use hyper::body::Body;
use tower::{Layer, Service};

use super::method_of;
use super::refusal::Refusable;
use crate::method::Method;
use crate::metrics::{Clients, Metrics};
use crate::rpc::{status, validate};
use conclave_core::handle::Handle;

/// Makes the layer.
#[derive(Clone)]
pub(super) struct CheckLayer {
    handle: Handle,
    clients: Arc<Clients>,
}

impl CheckLayer {
    pub(super) fn new(handle: Handle, metrics: &Metrics) -> CheckLayer {
        CheckLayer {
            handle,
            clients: Arc::clone(metrics.clients()),
        }
    }
}

impl<S> Layer<S> for CheckLayer {
    type Service = Check<S>;

    fn layer(&self, inner: S) -> Check<S> {
        Check {
            inner,
            handle: self.handle.clone(),
            clients: Arc::clone(&self.clients),
        }
    }
}

/// Checks the version that the client states, and if this member may serve the method.
pub(crate) struct Check<S> {
    inner: S,
    handle: Handle,
    clients: Arc<Clients>,
}

impl<S> Check<S> {
    fn check(&self, method: Method, headers: &HeaderMap) -> Result<(), ApiError> {
        let version = validate::client_version(headers)?;
        self.clients.count(version, method.shape());
        let raft_status = self.handle.status();
        if raft_status.is_learner && !serves_as_learner(method) {
            return Err(ApiError::NotSupportedForLearner);
        }
        if raft_status.leader == MemberId::NONE && validate::requires_leader(headers) {
            return Err(ApiError::NoLeader);
        }
        Ok(())
    }
}

/// Returns true if a learner, which has no vote and may be far behind, serves this method. Of
/// ranges it serves only serializable ones, which the handler checks.
fn serves_as_learner(method: Method) -> bool {
    matches!(method, Method::Status | Method::Snapshot | Method::Range)
}

impl<'a, S, B, R> Service<Request<B>> for &'a Check<S>
where
    &'a S: Service<Request<B>, Response = Response<R>, Error = Infallible>,
    B: Body,
    R: Default,
{
    type Response = Response<R>;
    type Error = Infallible;
    type Future = Refusable<<&'a S as Service<Request<B>>>::Future, B>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        (&mut &self.inner).poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        if let Some(method) = method_of(&request)
            && let Err(error) = self.check(method, request.headers())
        {
            return Refusable::refused(request, status::of_api(error));
        }
        Refusable::Admitted {
            response: (&mut &self.inner).call(request),
        }
    }
}
