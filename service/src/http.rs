//! Plain HTTP on the client port: health, version, metrics. The metrics ports serve the same
//! without the version ([`crate::edge::monitoring`]).
//!
//! The answers are equal to etcd's byte for byte, since probes and scripts compare them. `/health`
//! is the older check: JSON, alarms, a leader and a linearizable read. `/livez` and `/readyz` are
//! lists of named checks, and each check has a path of its own as well. A list answers `ok`, or the
//! outcome of every check if one fails or the query has `verbose`.

use std::sync::Arc;

use axum::Router;
use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use conclave_proto::ApiError;
use conclave_proto::etcdserverpb::{AlarmType, RangeRequest};
use conclave_storage::MemberId;
use conclave_storage::reader::ReadError;
use http::{StatusCode, header};

use crate::metrics::{Metrics, Probe};
use crate::version::{API_VERSION, CLUSTER_VERSION};
use conclave_core::handle::{Handle, Refused};

/// A named health check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Check {
    DataCorruption,
    SerializableRead,
    LinearizableRead,
    NonLearner,
}

/// Checks of `/livez`: the process is alive if it can read its own state.
const LIVE: &[Check] = &[Check::SerializableRead];
/// Checks of `/readyz`: the member can serve if it agrees with the others, has a leader, and votes.
const READY: &[Check] = &[
    Check::DataCorruption,
    Check::SerializableRead,
    Check::LinearizableRead,
    Check::NonLearner,
];

impl Check {
    const fn name(self) -> &'static str {
        match self {
            Check::DataCorruption => "data_corruption",
            Check::SerializableRead => "serializable_read",
            Check::LinearizableRead => "linearizable_read",
            Check::NonLearner => "non_learner",
        }
    }

    async fn run(self, handle: &Handle) -> Result<(), String> {
        match self {
            Check::DataCorruption => {
                let alarms = handle.reader().alarms();
                let corrupt = |alarm: i32| alarm == AlarmType::Corrupt as i32;
                match alarms.iter().any(|alarm| corrupt(alarm.alarm)) {
                    true => Err("alarm activated: CORRUPT".to_owned()),
                    false => Ok(()),
                }
            }
            Check::SerializableRead => {
                read(handle).map_err(|error| format!("range error: {error}"))
            }
            Check::LinearizableRead => linearizable_read(handle)
                .await
                .map_err(|error| format!("range error: {error}")),
            Check::NonLearner => match handle.status().is_learner {
                true => Err("not supported for learner".to_owned()),
                false => Ok(()),
            },
        }
    }
}

/// Reads one key of the local state. A missing key is a success, too.
fn read(handle: &Handle) -> Result<(), String> {
    let request = RangeRequest {
        key: "health".into(),
        limit: 1,
        keys_only: true,
        ..Default::default()
    };
    match handle.reader().range(&request) {
        Ok(_) => Ok(()),
        Err(ReadError::Rejected(error)) => Err(error.to_string()),
        Err(error @ (ReadError::Fault(_) | ReadError::Stopped)) => Err(error.to_string()),
    }
}

async fn linearizable_read(handle: &Handle) -> Result<(), String> {
    handle
        .linearize()
        .await
        .map_err(|Refused(error)| error.to_string())?;
    read(handle)
}

/// State that the handlers share.
#[derive(Clone)]
struct Site {
    handle: Handle,
    metrics: Arc<Metrics>,
}

/// The routes of the client port, without a fallback.
pub(crate) fn routes(handle: Handle, metrics: Arc<Metrics>) -> Router {
    monitoring_routes(handle, metrics).route("/version", get(version))
}

/// The routes for probes and Prometheus, without a fallback.
pub(crate) fn monitoring_routes(handle: Handle, metrics: Arc<Metrics>) -> Router {
    let mut router = Router::new()
        .route("/health", get(health))
        .route("/metrics", get(exposition))
        .route("/livez", get(livez))
        .route("/readyz", get(readyz));
    for &check in LIVE {
        let one = move |site, query| probes(Probe::Live, vec![check], site, query);
        router = router.route(&format!("/livez/{}", check.name()), get(one));
    }
    for &check in READY {
        let one = move |site, query| probes(Probe::Ready, vec![check], site, query);
        router = router.route(&format!("/readyz/{}", check.name()), get(one));
    }
    router.with_state(Site { handle, metrics })
}

async fn livez(site: State<Site>, query: RawQuery) -> Response {
    probes(Probe::Live, LIVE.to_vec(), site, query).await
}

async fn readyz(site: State<Site>, query: RawQuery) -> Response {
    probes(Probe::Ready, READY.to_vec(), site, query).await
}

/// Runs the checks in order, except those that the query excludes.
async fn probes(
    probe: Probe,
    checks: Vec<Check>,
    State(site): State<Site>,
    RawQuery(query): RawQuery,
) -> Response {
    let query = Query::parse(query.as_deref());
    let mut outcomes = String::new();
    let mut failed = false;
    for check in checks {
        let name = check.name();
        if query.values("exclude").any(|excluded| excluded == name) {
            continue;
        }
        let outcome = check.run(&site.handle).await;
        site.metrics.probed(probe, name, outcome.is_ok());
        match outcome {
            Ok(()) => outcomes.push_str(&format!("[+]{name} ok\n")),
            Err(reason) => {
                failed = true;
                outcomes.push_str(&format!("[-]{name} failed: {reason}\n"));
            }
        }
    }
    if failed {
        return text(StatusCode::SERVICE_UNAVAILABLE, outcomes + "\n");
    }
    if query.has("verbose") {
        return text(StatusCode::OK, outcomes + "ok\n");
    }
    text(StatusCode::OK, "ok\n".to_owned())
}

async fn health(State(site): State<Site>, RawQuery(query): RawQuery) -> Response {
    let query = Query::parse(query.as_deref());
    let reason = unhealthy(&site.handle, &query).await;
    site.metrics.health_checked(reason.is_none());
    match reason {
        None => json(StatusCode::OK, health_json(true, "")),
        Some(reason) => text(
            StatusCode::SERVICE_UNAVAILABLE,
            health_json(false, &reason) + "\n",
        ),
    }
}

/// Returns the reason why the member is not healthy, if it is not.
async fn unhealthy(handle: &Handle, query: &Query) -> Option<String> {
    for alarm in handle.reader().alarms() {
        let kind = AlarmType::try_from(alarm.alarm).map_or("UNKNOWN", |kind| kind.as_str_name());
        if !query.values("exclude").any(|excluded| excluded == kind) {
            return Some(format!("ALARM {kind}"));
        }
    }
    let serializable = query.values("serializable").next() == Some("true");
    if !serializable && handle.status().leader == MemberId::NONE {
        return Some("RAFT NO LEADER".to_owned());
    }
    let outcome = if serializable {
        read(handle)
    } else {
        linearizable_read(handle).await
    };
    match outcome {
        Ok(()) => None,
        // Auth may forbid the read, but a member that checks permissions works.
        Err(error) if error == ApiError::PermissionDenied.text() => None,
        Err(error) => Some(format!("RANGE ERROR:{error}")),
    }
}

fn health_json(healthy: bool, reason: &str) -> String {
    // Serialized as a JSON string, because a reason may contain quotes.
    format!(
        r#"{{"health":"{healthy}","reason":{}}}"#,
        serde_json::Value::from(reason)
    )
}

pub(crate) async fn version() -> Response {
    let (api, cluster) = (API_VERSION, CLUSTER_VERSION);
    let versions =
        format!(r#"{{"etcdserver":"{api}","etcdcluster":"{cluster}","storage":"{cluster}"}}"#);
    json(StatusCode::OK, versions)
}

async fn exposition(State(site): State<Site>) -> Response {
    match site.metrics.exposition(&site.handle).await {
        Ok(text) => (
            [(
                header::CONTENT_TYPE,
                "text/plain; version=0.0.4; charset=utf-8",
            )],
            text,
        )
            .into_response(),
        Err(error) => self::text(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
    }
}

fn json(status: StatusCode, body: String) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}

fn text(status: StatusCode, body: String) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/plain; charset=utf-8"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (status, headers, body).into_response()
}

/// The parameters of a URL's query, in order; an empty value if a name has none.
struct Query(Vec<(String, String)>);

impl Query {
    fn parse(query: Option<&str>) -> Query {
        let pairs = form_urlencoded::parse(query.unwrap_or_default().as_bytes());
        Query(pairs.into_owned().collect())
    }

    /// Returns the values given for a name, in order.
    fn values(&self, name: &str) -> impl Iterator<Item = &str> {
        let named = self.0.iter().filter(move |pair| pair.0 == name);
        named.map(|pair| pair.1.as_str())
    }

    fn has(&self, name: &str) -> bool {
        self.values(name).next().is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_repeat_escape_and_need_no_value() {
        let query = Query::parse(Some("exclude=a&verbose&exclude=%62+c"));
        assert_eq!(query.values("exclude").collect::<Vec<_>>(), ["a", "b c"]);
        assert!(query.has("verbose"));
        assert!(!Query::parse(None).has("verbose"));
    }

    #[test]
    fn health_is_etcds_json() {
        assert_eq!(health_json(true, ""), r#"{"health":"true","reason":""}"#);
        assert_eq!(
            health_json(false, r#"RANGE ERROR:"x""#),
            r#"{"health":"false","reason":"RANGE ERROR:\"x\""}"#
        );
    }
}
