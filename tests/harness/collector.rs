//! A collector of OpenTelemetry, which keeps what members send to it over OTLP.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use opentelemetry_proto::tonic::collector::metrics::v1 as metrics;
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_server::{
    MetricsService, MetricsServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1 as trace;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value};
use opentelemetry_proto::tonic::metrics::v1::Metric;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1 as wire;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::Server;
use tonic::{Request, Response, Status};

use crate::eventually;

/// A running collector.
#[derive(Debug)]
pub struct Collector {
    address: SocketAddr,
    taken: Arc<Taken>,
    serving: JoinHandle<()>,
}

/// Spans and metrics that a collector has received.
#[derive(Debug, Default)]
struct Taken {
    spans: Mutex<Vec<Span>>,
    metrics: Mutex<Vec<Metric>>,
}

/// A span, with its attributes as text.
#[derive(Clone, Debug, PartialEq)]
pub struct Span {
    /// What the sender says of itself.
    pub resource: BTreeMap<String, String>,
    /// The attributes.
    pub attributes: BTreeMap<String, String>,
    /// The rest.
    pub wire: wire::Span,
}

impl Collector {
    /// Starts a collector.
    pub async fn start() -> Collector {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("it is bound");
        let taken = Arc::<Taken>::default();
        let server = Server::builder()
            .add_service(TraceServiceServer::from_arc(Arc::clone(&taken)))
            .add_service(MetricsServiceServer::from_arc(Arc::clone(&taken)));
        let serving = tokio::spawn(async move {
            let served = server.serve_with_incoming(TcpListenerStream::new(listener));
            served.await.expect("it serves until the test ends");
        });
        Collector {
            address,
            taken,
            serving,
        }
    }

    /// Host and port.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The spans of a trace, once they are as they are expected.
    pub async fn trace(&self, id: &str, is_whole: impl Fn(&[Span]) -> bool) -> Vec<Span> {
        let id: Vec<u8> = (0..id.len() / 2)
            .map(|byte| u8::from_str_radix(&id[2 * byte..2 * byte + 2], 16).expect("digits"))
            .collect();
        self.spans(|span| span.wire.trace_id == id, is_whole).await
    }

    /// Those spans that are asked for, once they are as they are expected.
    pub async fn spans(
        &self,
        is_wanted: impl Fn(&Span) -> bool,
        is_whole: impl Fn(&[Span]) -> bool,
    ) -> Vec<Span> {
        let mut last = Vec::new();
        let looking = eventually("the spans", || {
            let spans = lock(&self.taken.spans);
            last = spans
                .iter()
                .filter(|span| is_wanted(span))
                .cloned()
                .collect();
            std::future::ready(is_whole(&last).then(|| last.clone()))
        });
        looking.await
    }

    /// The first metric of this name.
    pub async fn metric(&self, name: &str) -> Metric {
        eventually("the metric", || {
            let metrics = lock(&self.taken.metrics);
            let found = metrics.iter().find(|metric| metric.name == name).cloned();
            std::future::ready(found)
        })
        .await
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Span {
    /// The name.
    pub fn name(&self) -> &str {
        &self.wire.name
    }

    /// The name of the member that sent it.
    pub fn member(&self) -> &str {
        &self.resource["service.instance.id"]
    }
}

/// The names of the spans below a parent, indented, each with what `label` says of its member.
pub fn tree(spans: &[Span], parent: &[u8], label: &dyn Fn(&str) -> String) -> String {
    let mut lines = String::new();
    draw(spans, parent, label, 0, &mut lines);
    lines
}

fn draw(
    spans: &[Span],
    parent: &[u8],
    label: &dyn Fn(&str) -> String,
    depth: usize,
    lines: &mut String,
) {
    let is_child = |span: &&Span| span.wire.parent_span_id == parent;
    let mut children: Vec<_> = spans.iter().filter(is_child).collect();
    children.sort_by_key(|span| span.name());
    for span in children {
        let (indent, member) = ("  ".repeat(depth), label(span.member()));
        lines.push_str(&format!("{indent}{} {member}\n", span.name()));
        draw(spans, &span.wire.span_id, label, depth + 1, lines);
    }
}

#[tonic::async_trait]
impl TraceService for Taken {
    async fn export(
        &self,
        request: Request<trace::ExportTraceServiceRequest>,
    ) -> Result<Response<trace::ExportTraceServiceResponse>, Status> {
        let mut taken = lock(&self.spans);
        for of_resource in request.into_inner().resource_spans {
            let resource = of_resource.resource.as_ref();
            let resource = resource.map_or_else(BTreeMap::new, described);
            let spans = of_resource.scope_spans.into_iter();
            taken.extend(spans.flat_map(|scope| scope.spans).map(|wire| Span {
                resource: resource.clone(),
                attributes: texts(&wire.attributes),
                wire,
            }));
        }
        Ok(Response::new(Default::default()))
    }
}

#[tonic::async_trait]
impl MetricsService for Taken {
    async fn export(
        &self,
        request: Request<metrics::ExportMetricsServiceRequest>,
    ) -> Result<Response<metrics::ExportMetricsServiceResponse>, Status> {
        let of_resources = request.into_inner().resource_metrics.into_iter();
        let of_scopes = of_resources.flat_map(|of_resource| of_resource.scope_metrics);
        lock(&self.metrics).extend(of_scopes.flat_map(|of_scope| of_scope.metrics));
        Ok(Response::new(Default::default()))
    }
}

fn described(resource: &Resource) -> BTreeMap<String, String> {
    texts(&resource.attributes)
}

fn texts(attributes: &[KeyValue]) -> BTreeMap<String, String> {
    let text = |attribute: &KeyValue| {
        let value = attribute.value.as_ref()?.value.as_ref()?;
        let text = match value {
            any_value::Value::StringValue(text) => text.clone(),
            any_value::Value::IntValue(number) => number.to_string(),
            any_value::Value::BoolValue(flag) => flag.to_string(),
            other => format!("{other:?}"),
        };
        Some((attribute.key.clone(), text))
    };
    attributes.iter().filter_map(text).collect()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("nothing panics while it holds this")
}
