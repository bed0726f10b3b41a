//! Dispatch of requests to services.
//!
//! A gRPC request names its service in the first part of its path, and goes directly to tonic's
//! code for that service: no router, no layers, no boxed request body in between. Less frequent
//! requests (health, reflection, plain HTTP) go through a router.
//!
//! A request that is not a gRPC call ([`grpc`]) reaches plain HTTP only, whatever its path.
//!
//! Requests may be compressed with gzip, which is the encoding that grpc-go, and so etcd, accepts
//! ([`super::gzip`]). The limit of a message's size applies before it is decompressed and after.
//! Replies are never compressed: a client must accept uncompressed ones, and compression would cost
//! the member processor time.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::Router;
use axum::response::IntoResponse as _;
use conclave_proto::etcdserverpb::auth_server::AuthServer;
use conclave_proto::etcdserverpb::cluster_server::ClusterServer;
use conclave_proto::etcdserverpb::kv_server::KvServer;
use conclave_proto::etcdserverpb::lease_server::LeaseServer;
use conclave_proto::etcdserverpb::maintenance_server::MaintenanceServer;
use conclave_proto::v3electionpb::election_server::ElectionServer;
use conclave_proto::v3lockpb::lock_server::LockServer;
use http::{Request, Response, StatusCode, header};
use hyper::body::Incoming;
use tonic::Status;
use tonic::body::Body;
use tonic::codec::CompressionEncoding;
use tonic::service::Routes;
use tower::Service as _;

use super::gzip::decompressed;
use crate::metrics::Metrics;
use crate::net::ConnectionInfo;
use crate::rpc::authenticator::Authenticator;
use crate::rpc::large::Replacement;
use crate::{grpc, http as plain, rpc};
use conclave_core::handle::Handle;

/// How much larger a message may be than its request: etcd's allowance for framing.
const MESSAGE_OVERHEAD_BYTES: usize = 512 << 10;

/// All services.
struct Services {
    kv: KvServer<rpc::kv::Service>,
    watch: rpc::watch::Service,
    lease: LeaseServer<rpc::lease::Service>,
    cluster: ClusterServer<rpc::cluster::Service>,
    maintenance: MaintenanceServer<rpc::maintenance::Service>,
    auth: AuthServer<rpc::auth::Service>,
    lock: LockServer<rpc::lock::Service>,
    election: ElectionServer<rpc::election::Service>,
    other_calls: Router,
    plain: Router,
    message_bytes_max: usize,
}

/// Answers the requests of one connection.
#[derive(Clone)]
pub(super) struct Front {
    services: Arc<Services>,
    /// The other end of the connection.
    peer: Arc<rpc::Peer>,
}

impl Front {
    /// Builds the services; fails only if the descriptors we ship cannot be read.
    pub(super) async fn new(
        handle: Handle,
        metrics: Arc<Metrics>,
        authenticator: Arc<Authenticator>,
    ) -> Result<Front, tonic_reflection::server::Error> {
        let context = rpc::Context::new(handle.clone(), &metrics, authenticator);
        let message_bytes_max = handle.settings().max_request_bytes + MESSAGE_OVERHEAD_BYTES;
        // tonic never receives a compressed message. It must know gzip all the same, to accept the
        // header, and to name gzip in its refusal of other encodings.
        macro_rules! server {
            ($server:ident, $service:expr) => {
                $server::new($service)
                    .accept_compressed(CompressionEncoding::Gzip)
                    .max_decoding_message_size(message_bytes_max)
                    .max_encoding_message_size(usize::MAX)
            };
        }
        let gzip = CompressionEncoding::Gzip;
        let other_calls = Routes::new(rpc::health::server().await.accept_compressed(gzip))
            .add_service(rpc::reflection::server_v1()?.accept_compressed(gzip))
            .add_service(rpc::reflection::server_v1alpha()?.accept_compressed(gzip))
            .into_axum_router()
            .fallback(unknown_service);
        let plain = plain::routes(handle, metrics).fallback(not_found);
        let services = Services {
            kv: server!(KvServer, rpc::kv::Service::new(context.clone())),
            watch: rpc::watch::Service::new(context.clone(), message_bytes_max),
            lease: server!(LeaseServer, rpc::lease::Service::new(context.clone())),
            cluster: server!(ClusterServer, rpc::cluster::Service::new(context.clone())),
            maintenance: server!(
                MaintenanceServer,
                rpc::maintenance::Service::new(context.clone())
            ),
            auth: server!(AuthServer, rpc::auth::Service::new(context.clone())),
            lock: server!(LockServer, rpc::lock::Service::new(context.clone())),
            election: server!(ElectionServer, rpc::election::Service::new(context)),
            other_calls,
            plain,
            message_bytes_max,
        };
        Ok(Front {
            services: Arc::new(services),
            peer: Arc::default(),
        })
    }

    /// Returns the front for a connection.
    pub(super) fn on(&self, info: &ConnectionInfo) -> Front {
        Front {
            services: Arc::clone(&self.services),
            peer: Arc::new(rpc::Peer {
                remote: info.remote.map(|remote| remote.ip()),
                common_name: info.common_name().map(Arc::from),
            }),
        }
    }
}

impl hyper::service::Service<Request<Incoming>> for Front {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Answer;

    fn call(&self, request: Request<Incoming>) -> Answer {
        let services = &*self.services;
        if !grpc::is_call(&request) {
            let response = routed(&services.plain, request);
            return Answer { response };
        }
        let mut request = decompressed(request, services.message_bytes_max);
        // A map of extensions costs an allocation, and most services do not need it.
        let needs_peer = service_of(request.uri().path()) == "etcdserverpb.Auth";
        if needs_peer || self.peer.common_name.is_some() {
            request.extensions_mut().insert(Arc::clone(&self.peer));
        }
        // A clone consists of a reference count and a few limits.
        let response = match service_of(request.uri().path()) {
            "etcdserverpb.KV" => services.kv.clone().call(request),
            "etcdserverpb.Watch" => services.watch.clone().call(request),
            "etcdserverpb.Lease" => services.lease.clone().call(request),
            "etcdserverpb.Cluster" => services.cluster.clone().call(request),
            "etcdserverpb.Maintenance" => services.maintenance.clone().call(request),
            "etcdserverpb.Auth" => services.auth.clone().call(request),
            "v3lockpb.Lock" => services.lock.clone().call(request),
            "v3electionpb.Election" => services.election.clone().call(request),
            _ => routed(&services.other_calls, request),
        };
        Answer { response }
    }
}

fn routed<B>(router: &Router, request: Request<B>) -> Responding
where
    B: hyper::body::Body<Data = bytes::Bytes> + Send + 'static,
    B::Error: Into<axum::BoxError>,
{
    let mut router = router.clone();
    Box::pin(async move { router.call(request).await.map(|r| r.map(Body::new)) })
}

/// The first part of a path. Empty for paths that have only one.
fn service_of(path: &str) -> &str {
    let parts = path.strip_prefix('/').and_then(|path| path.split_once('/'));
    parts.map_or("", |(service, _)| service)
}

type Responding = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

/// The future of a response.
pub(super) struct Answer {
    response: Responding,
}

impl Future for Answer {
    type Output = Result<Response<Body>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Ok(mut response) = ready!(self.get_mut().response.as_mut().poll(cx));
        if let Some(body) = Replacement::of(&mut response) {
            *response.body_mut() = body;
            return Poll::Ready(Ok(response));
        }
        // Only a call that failed before it had a response has its status in the headers.
        if !response.headers().contains_key("grpc-status") {
            return Poll::Ready(Ok(response));
        }
        let corrected = Status::from_header_map(response.headers())
            .and_then(|status| rpc::status::of_message(&status))
            .map(|status| status.into_http());
        Poll::Ready(Ok(corrected.unwrap_or(response)))
    }
}

/// The answer of etcd's JSON gateway to an unknown path, in its format: a gRPC status, here
/// NOT_FOUND.
const NO_GATEWAY: &str = concat!(
    r#"{"code":5,"message":"conclave: the JSON gateway is not available in this version, "#,
    r#"use gRPC","details":[]}"#,
);

/// Returns true if etcd serves JSON at this path; older versions did at the other two.
fn is_gateway_path(path: &str) -> bool {
    ["/v3/", "/v3beta/", "/v3alpha/"]
        .iter()
        .any(|prefix| path.starts_with(prefix))
}

/// The answer to a call of an unknown service.
async fn unknown_service(request: Request<axum::body::Body>) -> Response<axum::body::Body> {
    let service = service_of(request.uri().path());
    Status::unimplemented(format!("unknown service {service}")).into_http()
}

/// The answer of plain HTTP to an unknown path.
pub(super) async fn not_found(request: Request<axum::body::Body>) -> Response<axum::body::Body> {
    // Names of services have a package, hence the dot; no path of plain HTTP has one there.
    if service_of(request.uri().path()).contains('.') {
        return grpc::refuse(&request).map(axum::body::Body::new);
    }
    // A bare 404 would look like a wrong path of an existing API.
    if is_gateway_path(request.uri().path()) {
        let kind = [(header::CONTENT_TYPE, "application/json")];
        return (StatusCode::NOT_FOUND, kind, NO_GATEWAY).into_response();
    }
    grpc::not_found().map(axum::body::Body::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_names_its_service() {
        assert_eq!(service_of("/etcdserverpb.KV/Range"), "etcdserverpb.KV");
        assert_eq!(service_of("/health"), "");
        assert_eq!(service_of("/livez/serializable_read"), "livez");
        assert_eq!(service_of("*"), "");
    }
}
