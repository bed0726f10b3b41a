//! The layers around the services: what is the same for every call.
//!
//! The edge gives the stack each request that is a gRPC call. The function [`stack`] lists the
//! layers in the order in which a request passes them; a response passes them the other way. A
//! layer knows a call by what is in the extensions of its request: its [`Method`], if the public
//! API has one of that path, the [`Peer`] that the edge recorded, and, below the layer of identity,
//! the credential that came with it.
//!
//! ```text
//!   edge ─▶ name ─▶ trace ─▶ count ─▶ record ─▶ deadline ─▶ identity ─▶ limit ─▶ check
//!                                                                                  │
//!                                                services ◀─ answer ◀─ decompress ◀┘
//! ```
//!
//! Authorization is not a layer, because it depends on the keys in the request: the handlers have
//! parsed requests judged ([`super::Context::admit`]).
//!
//! # Cost
//!
//! A layer is called through a shared reference, so the stack is not cloned for a call: each
//! implements [`Service`] for `&Layer`. Nothing is boxed but a timer, for a call that has a
//! deadline and has to wait, and the map of the request's extensions; and with limits, what a call
//! uses.
//!
//! # Invariants
//!
//! - Every call of the public API counts once as started and once by its outcome, whatever ends it.
//! - What a layer refuses is answered like a refusal of a handler: without a body, with the status
//!   in the headers.
//! - A layer does not wait before it calls the next one. So no call can pile up in the stack.
//!
//! [`Service`]: tower::Service

use std::sync::Arc;

use hyper::body::Incoming;
use tonic::body::Body;
use tower::{Service, ServiceBuilder};

use super::authenticator::Authenticator;
use crate::audit::Audit;
use crate::fair_use::FairUse;
use crate::method::Method;
use crate::metrics::{Call, Metrics};
use crate::telemetry::Tracer;
use conclave_core::handle::Handle;
use conclave_core::trace::Span;

mod answer;
mod callers;
mod check;
mod count;
mod deadline;
mod decompress;
mod follow;
mod gzip;
mod identity;
mod limit;
mod map;
mod metered;
mod name;
mod record;
mod refusal;
mod services;
#[cfg(test)]
mod tests;
mod trace;

use answer::{Answer, AnswerLayer};
use callers::Callers;
use check::{Check, CheckLayer};
use count::Count;
use deadline::{Deadline, DeadlineBody, DeadlineLayer};
use decompress::Decompress;
use follow::{FollowLayer, FollowedBody, Following};
use identity::Identity;
use limit::{Limit, LimitLayer};
use map::{Map, MapLayer};
use metered::Metered;
use name::Name;
use record::{Record, Recorded};
use services::Services;
use trace::Trace;

pub(super) use metered::{Messages, Meter};

/// The services inside their layers.
pub(crate) type Stack = Map<
    Name,
    Following<Trace, Following<Count, Following<Record, Deadline<Map<Identity, Inner>>>>>,
>;
/// The layers below the one that finds the credential.
type Inner = Limit<Check<Map<Decompress, Answer<Services>>>>;

/// The body of a response.
pub(crate) type StackBody =
    FollowedBody<FollowedBody<FollowedBody<DeadlineBody<Metered<Body>>, Recorded>, Call>, Span>;

/// The future of a response.
pub(crate) type StackFuture = <&'static Stack as Service<http::Request<Incoming>>>::Future;

/// Dependencies of the services and their layers. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Parts {
    pub(crate) handle: Handle,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) authenticator: Arc<Authenticator>,
    /// `None` without limits.
    pub(crate) fair_use: Option<Arc<FairUse>>,
    /// `None` without an audit log.
    pub(crate) audit: Option<Arc<Audit>>,
    /// `None` without traces.
    pub(crate) tracer: Option<Arc<Tracer>>,
}

/// Puts the layers around the services. Fails only if the descriptors we ship cannot be read.
pub(crate) async fn stack(parts: Parts) -> Result<Stack, tonic_reflection::server::Error> {
    let Parts {
        handle,
        metrics,
        authenticator,
        fair_use,
        audit,
        tracer,
    } = parts;
    let callers = Arc::new(Callers {
        handle: handle.clone(),
        authenticator: Arc::clone(&authenticator),
    });
    let limit = LimitLayer::new(fair_use, Arc::clone(&callers));
    let services = Services::new(handle.clone(), &metrics, authenticator).await?;
    let message_bytes_max = services.message_bytes_max();
    Ok(ServiceBuilder::new()
        // Finds the method, once, for all layers below.
        .layer(MapLayer(Name))
        // Traces the call, and what is done for it below.
        .layer(FollowLayer(Trace { tracer }))
        // Counts the call, its outcome and its duration.
        .layer(FollowLayer(Count::new(&metrics)))
        // Records the call in the audit log, also if it is refused or ended below.
        .layer(FollowLayer(Record { audit }))
        // Ends the call when the time is up that its client gave it.
        .layer(DeadlineLayer)
        // Finds the token or the certificate that comes with the call.
        .layer(MapLayer(Identity))
        // Refuses the calls of a user or an address that has used up its limits, and slows its
        // streams down.
        .layer(limit)
        // Refuses what this member cannot serve now, whatever the request.
        .layer(CheckLayer::new(handle, &metrics))
        // Decompresses messages, and bounds their size before and after.
        .layer(MapLayer(Decompress { message_bytes_max }))
        // Puts large replies in place, and gRPC's words in place of tonic's.
        .layer(AnswerLayer { callers })
        .service(services))
}

/// Returns the method that the outermost layer found, if it is one of the public API.
fn method_of<B>(request: &http::Request<B>) -> Option<Method> {
    request.extensions().get::<Method>().copied()
}
