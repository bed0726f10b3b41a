//! Dispatch of calls to services, below all layers.
//!
//! A gRPC request names its service in the first part of its path, and goes directly to tonic's
//! code for that service: no router, no boxed request body in between. Less frequent calls (health,
//! reflection, unknown services) go through a router.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::Router;
use conclave_proto::etcdserverpb::auth_server::AuthServer;
use conclave_proto::etcdserverpb::cluster_server::ClusterServer;
use conclave_proto::etcdserverpb::kv_server::KvServer;
use conclave_proto::etcdserverpb::lease_server::LeaseServer;
use conclave_proto::etcdserverpb::maintenance_server::MaintenanceServer;
use conclave_proto::v3electionpb::election_server::ElectionServer;
use conclave_proto::v3lockpb::lock_server::LockServer;
use http::{Request, Response};
use tonic::Status;
use tonic::body::Body;
use tonic::codec::CompressionEncoding;
use tonic::codegen::StdError;
use tonic::service::Routes;
use tower::Service;

use crate::grpc::service_of;
use crate::metrics::Metrics;
use crate::rpc;
use crate::rpc::authenticator::Authenticator;
use conclave_core::handle::Handle;

/// How much larger a message may be than its request: etcd's allowance for framing.
const MESSAGE_OVERHEAD_BYTES: usize = 512 << 10;

/// All services.
pub(crate) struct Services {
    kv: KvServer<rpc::kv::Service>,
    watch: rpc::watch::Service,
    lease: LeaseServer<rpc::lease::Service>,
    cluster: ClusterServer<rpc::cluster::Service>,
    maintenance: MaintenanceServer<rpc::maintenance::Service>,
    auth: AuthServer<rpc::auth::Service>,
    lock: LockServer<rpc::lock::Service>,
    election: ElectionServer<rpc::election::Service>,
    other: Router,
    message_bytes_max: usize,
}

impl Services {
    /// Builds the services. Fails only if the descriptors we ship cannot be read.
    pub(super) async fn new(
        handle: Handle,
        metrics: &Metrics,
        authenticator: Arc<Authenticator>,
    ) -> Result<Services, tonic_reflection::server::Error> {
        let message_bytes_max = handle.settings().max_request_bytes + MESSAGE_OVERHEAD_BYTES;
        let context = rpc::Context::new(handle, metrics, authenticator);
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
        let other = Routes::new(rpc::health::server().await.accept_compressed(gzip))
            .add_service(rpc::reflection::server_v1()?.accept_compressed(gzip))
            .add_service(rpc::reflection::server_v1alpha()?.accept_compressed(gzip))
            .into_axum_router()
            .fallback(unknown_service);
        Ok(Services {
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
            other,
            message_bytes_max,
        })
    }

    /// Returns the limit of a message's size in bytes.
    pub(super) fn message_bytes_max(&self) -> usize {
        self.message_bytes_max
    }
}

impl<B> Service<Request<B>> for &Services
where
    B: hyper::body::Body<Data = bytes::Bytes> + Send + 'static,
    B::Error: Into<StdError> + Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Responding;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Responding {
        // A clone consists of a reference count and a few limits.
        match service_of(request.uri().path()) {
            "etcdserverpb.KV" => self.kv.clone().call(request),
            "etcdserverpb.Watch" => self.watch.clone().call(request),
            "etcdserverpb.Lease" => self.lease.clone().call(request),
            "etcdserverpb.Cluster" => self.cluster.clone().call(request),
            "etcdserverpb.Maintenance" => self.maintenance.clone().call(request),
            "etcdserverpb.Auth" => self.auth.clone().call(request),
            "v3lockpb.Lock" => self.lock.clone().call(request),
            "v3electionpb.Election" => self.election.clone().call(request),
            _ => {
                let mut router = self.other.clone();
                Box::pin(async move { router.call(request).await.map(|r| r.map(Body::new)) })
            }
        }
    }
}

/// The future of a response, as tonic makes it.
type Responding = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

/// The answer to a call of an unknown service.
async fn unknown_service(request: Request<axum::body::Body>) -> Response<axum::body::Body> {
    let service = service_of(request.uri().path());
    Status::unimplemented(format!("unknown service {service}")).into_http()
}
