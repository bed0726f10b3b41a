//! The spans themselves: OpenTelemetry's, behind the core's seam.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use conclave_proto::peer::TraceContext;
use http::HeaderMap;
use opentelemetry::propagation::{Extractor, Injector, TextMapPropagator as _};
use opentelemetry::trace::{
    SpanBuilder, SpanKind, Status, TraceContextExt as _, Tracer as _, TracerProvider as _,
};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{Sampler as Decision, SdkTracer, SdkTracerProvider};

use crate::config::Sampler;
use crate::method::Method;
use conclave_core::clock::Stopwatch;
use conclave_core::trace::{Recorder, Span, Value};

const TRACEPARENT: &str = "traceparent";
const TRACESTATE: &str = "tracestate";

/// The longest `tracestate` that is passed on: what the specification asks for at least. It goes
/// into every span, and to the leader.
const TRACESTATE_BYTES_MAX: usize = 512;

/// Decides what is traced, and begins its spans.
pub(crate) struct Tracer {
    provider: SdkTracerProvider,
    tracer: SdkTracer,
    /// True if calls that no client traces may be traced.
    has_roots: bool,
}

impl Tracer {
    pub(super) fn new(provider: SdkTracerProvider, sampler: Sampler) -> Tracer {
        Tracer {
            tracer: provider.tracer("conclave"),
            provider,
            has_roots: sampler.per_billion > 0,
        }
    }

    /// A client calls a method. Returns the call's span, which is none unless the call is traced.
    pub(crate) fn call(&self, method: Method, headers: &HeaderMap) -> Span {
        let parent = Carried::of(headers);
        if parent.is_none() && !self.has_roots {
            return Span::none();
        }
        let parent = parent.map_or_else(Context::new, |carried| carried.context());
        let name = format!("{}/{}", method.service(), method.name());
        let span = SpanBuilder::from_name(name)
            .with_kind(SpanKind::Server)
            .with_attributes([
                KeyValue::new("rpc.system", "grpc"),
                KeyValue::new("rpc.service", method.service()),
                KeyValue::new("rpc.method", method.name()),
            ]);
        self.begin(span, &parent)
    }

    /// Begins a span of this member's own.
    pub(crate) fn action(&self, name: &'static str) -> Span {
        match self.has_roots {
            true => self.begin(SpanBuilder::from_name(name), &Context::new()),
            false => Span::none(),
        }
    }

    /// Begins this member's part of another member's trace.
    pub(crate) fn resume(&self, name: &'static str, context: &TraceContext) -> Span {
        let carried = Carried {
            traceparent: &context.traceparent,
            tracestate: Cow::Borrowed(&context.tracestate),
        };
        let parent = carried.context();
        if !parent.has_active_span() {
            return Span::none();
        }
        let span = SpanBuilder::from_name(name).with_kind(SpanKind::Server);
        self.begin(span, &parent)
    }

    fn begin(&self, span: SpanBuilder, parent: &Context) -> Span {
        recording(&self.tracer, span, parent)
    }

    /// Sends what has ended, within this time.
    pub(super) fn shutdown(&self, at_most: Duration) -> OTelSdkResult {
        self.provider.shutdown_with_timeout(at_most)
    }
}

/// Begins a span, unless the sampler decides against it.
fn recording(tracer: &SdkTracer, span: SpanBuilder, parent: &Context) -> Span {
    let span = tracer.build_with_context(span, parent);
    if !opentelemetry::trace::Span::is_recording(&span) {
        return Span::none();
    }
    Span::of(Arc::new(Recording {
        tracer: tracer.clone(),
        // Without what was in the parent's context, which would keep the parent from ending.
        context: Context::new().with_span(span),
    }))
}

/// Returns the SDK's sampler.
pub(super) fn sampler(sampler: Sampler) -> Decision {
    let decision = match sampler.per_billion {
        0 => Decision::AlwaysOff,
        Sampler::ALL.. => Decision::AlwaysOn,
        some => Decision::TraceIdRatioBased(f64::from(some) / f64::from(Sampler::ALL)),
    };
    match sampler.parent_based {
        true => Decision::ParentBased(Box::new(decision)),
        false => decision,
    }
}

/// A span that is recorded. It ends when the context is dropped.
#[derive(Debug)]
struct Recording {
    tracer: SdkTracer,
    context: Context,
}

impl Recorder for Recording {
    fn child(&self, name: &'static str, since: Option<Stopwatch>) -> Span {
        let mut span = SpanBuilder::from_name(name);
        if let Some(since) = since {
            span = span.with_start_time(since.started_at());
        }
        recording(&self.tracer, span, &self.context)
    }

    fn set(&self, attribute: &'static str, value: Value) {
        let attribute = match value {
            Value::Number(number) => {
                KeyValue::new(attribute, i64::try_from(number).unwrap_or(i64::MAX))
            }
            Value::Flag(flag) => KeyValue::new(attribute, flag),
            Value::Member(member) => KeyValue::new(attribute, member.to_string()),
        };
        self.context.span().set_attribute(attribute);
    }

    fn fail(&self) {
        self.context.span().set_status(Status::error(""));
    }

    fn context(&self) -> TraceContext {
        let mut written = Written(TraceContext::default());
        TraceContextPropagator::new().inject_context(&self.context, &mut written);
        written.0
    }
}

/// A position in a trace, as it is carried.
struct Carried<'a> {
    traceparent: &'a str,
    tracestate: Cow<'a, str>,
}

impl<'a> Carried<'a> {
    /// Reads the headers of a call. Returns `None` unless there is one `traceparent`.
    fn of(headers: &'a HeaderMap) -> Option<Carried<'a>> {
        let mut all = headers.get_all(TRACEPARENT).iter();
        let (Some(traceparent), None) = (all.next(), all.next()) else {
            return None;
        };
        let mut states = headers.get_all(TRACESTATE).iter();
        let mut tracestate = Cow::Borrowed(states.next().map_or("", |one| text(one)));
        for more in states {
            // A list may be in several headers.
            tracestate = Cow::Owned(format!("{tracestate},{}", text(more)));
        }
        Some(Carried {
            traceparent: text(traceparent),
            tracestate,
        })
    }

    /// Returns the position; the empty context if it cannot be parsed.
    fn context(&self) -> Context {
        if !is_well_formed(self.traceparent) {
            return Context::new();
        }
        TraceContextPropagator::new().extract_with_context(&Context::new(), self)
    }
}

/// Returns true for a `traceparent` in the form of W3C Trace Context: version, trace, span and
/// flags in lower-case hexadecimal. Later versions may add parts. The library's parser takes signs.
fn is_well_formed(traceparent: &str) -> bool {
    let is_hex = |part: &str| {
        part.bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    let mut parts = traceparent.split('-');
    let lengths = [2, 32, 16, 2];
    let are_right = lengths.iter().all(|&length| {
        let part = parts.next();
        part.is_some_and(|part| part.len() == length && is_hex(part))
    });
    are_right && (parts.next().is_none() || !traceparent.starts_with("00"))
}

fn text(value: &http::HeaderValue) -> &str {
    value.to_str().unwrap_or_default()
}

impl Extractor for Carried<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        match key {
            TRACEPARENT => Some(self.traceparent),
            TRACESTATE => {
                Some(&*self.tracestate).filter(|state| state.len() <= TRACESTATE_BYTES_MAX)
            }
            _ => None,
        }
    }

    fn keys(&self) -> Vec<&str> {
        vec![TRACEPARENT, TRACESTATE]
    }
}

struct Written(TraceContext);

impl Injector for Written {
    fn set(&mut self, key: &str, value: String) {
        match key {
            TRACEPARENT => self.0.traceparent = value,
            TRACESTATE => self.0.tracestate = value,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry::trace::{SpanId, TraceId};

    use super::*;

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    const NOT_TRACED: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";

    /// A tracer without an exporter.
    fn tracer(parent_based: bool, per_billion: u32) -> Tracer {
        let decision = Sampler {
            parent_based,
            per_billion,
        };
        let provider = SdkTracerProvider::builder().with_sampler(sampler(decision));
        Tracer::new(provider.build(), decision)
    }

    fn headers(fields: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, value.parse().expect("a value"));
        }
        headers
    }

    #[test]
    fn a_client_decides_unless_the_sampler_does() {
        for (parent_based, per_billion, traceparent, expected) in [
            (true, 0, None, false),
            (true, 0, Some(PARENT), true),
            (true, 0, Some(NOT_TRACED), false),
            (true, 1_000_000_000, None, true),
            (true, 1_000_000_000, Some(NOT_TRACED), false),
            (false, 1_000_000_000, Some(NOT_TRACED), true),
            (false, 0, Some(PARENT), false),
        ] {
            let headers =
                traceparent.map_or_else(HeaderMap::new, |parent| headers(&[(TRACEPARENT, parent)]));
            let span = tracer(parent_based, per_billion).call(Method::Put, &headers);
            let case = (parent_based, per_billion, traceparent);
            assert_eq!(span.is_recording(), expected, "{case:?}");
        }
    }

    #[test]
    fn what_is_carried_is_the_spans_own_place_in_its_clients_trace() {
        let tracer = tracer(true, 0);
        let headers = headers(&[
            (TRACEPARENT, PARENT),
            (TRACESTATE, "a=1"),
            (TRACESTATE, "b=2"),
        ]);
        let call = tracer.call(Method::Put, &headers);
        let carried = call.child("forward");
        let Some(carried) = carried.context() else {
            panic!("it is recorded");
        };
        assert_eq!(carried.tracestate, "a=1,b=2");
        let resumed = Carried {
            traceparent: &carried.traceparent,
            tracestate: Cow::Borrowed(&carried.tracestate),
        };
        let resumed = resumed.context();
        let resumed = resumed.span().span_context().clone();
        let trace = TraceId::from_hex("0af7651916cd43dd8448eb211c80319c").expect("digits");
        assert_eq!(resumed.trace_id(), trace);
        let client = SpanId::from_hex("b7ad6b7169203331").expect("digits");
        assert!(resumed.is_sampled() && resumed.span_id() != client);
        assert!(tracer.resume("lead", &carried).is_recording());
    }

    /// What clients and members send is not trusted.
    #[test]
    fn a_place_that_cannot_be_is_none() {
        let tracer = tracer(true, 0);
        let long = format!("a={}", "x".repeat(TRACESTATE_BYTES_MAX));
        for wrong in [
            "",
            "00",
            "nonsense",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "+0-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331--1",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-+1",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-00",
        ] {
            let call = tracer.call(Method::Put, &headers(&[(TRACEPARENT, wrong)]));
            assert!(!call.is_recording(), "{wrong:?}");
            let context = TraceContext {
                traceparent: wrong.to_owned(),
                tracestate: long.clone(),
            };
            assert!(!tracer.resume("lead", &context).is_recording(), "{wrong:?}");
        }
        let twice = headers(&[(TRACEPARENT, PARENT), (TRACEPARENT, PARENT)]);
        assert!(!tracer.call(Method::Put, &twice).is_recording());
        let call = tracer.call(
            Method::Put,
            &headers(&[(TRACEPARENT, PARENT), (TRACESTATE, &long)]),
        );
        let carried = call.context().expect("it is recorded");
        assert_eq!(carried.tracestate, "");
    }

    #[test]
    fn elections_are_traced_if_calls_begin_traces() {
        assert!(!tracer(true, 0).action("election").is_recording());
        assert!(
            tracer(true, 1_000_000_000)
                .action("election")
                .is_recording()
        );
    }
}
