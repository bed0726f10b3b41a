//! `grpc.health.v1.Health`: the empty name stands for the whole server, and each service for
//! itself.
//!
//! All of them report SERVING while they answer: a member without a leader still serves
//! serializable reads. `/readyz` reports if a member is ready for more.

use std::collections::BTreeSet;

use tonic_health::ServingStatus;
use tonic_health::pb::health_server::{Health, HealthServer};
use tonic_health::server::{HealthReporter, HealthService};

use crate::method::Method;

/// The service.
pub(crate) async fn server() -> HealthServer<impl Health> {
    let reporter = HealthReporter::new();
    let services: BTreeSet<_> = Method::ALL.iter().map(|method| method.service()).collect();
    for service in services {
        reporter
            .set_service_status(service, ServingStatus::Serving)
            .await;
    }
    HealthServer::new(HealthService::from_health_reporter(reporter))
}
