//! Traces calls.
//!
//! The span of a call that is traced is in the extensions of its request, for what is done inside
//! it, and ends with the last frame of the response or when nothing holds it any longer. A call
//! that is not traced costs a check of an `Option`, and with tracing on a lookup of `traceparent`.

use std::sync::Arc;

use http::Request;
use tonic::Code;

use super::follow::{End, Follow, Ongoing};
use super::method_of;
use crate::telemetry::Tracer;
use conclave_core::trace::Span;

/// Traces the calls of the public API, if there are traces.
#[derive(Clone)]
pub(crate) struct Trace {
    pub(super) tracer: Option<Arc<Tracer>>,
}

impl Follow for Trace {
    type Call = Span;

    fn begin<B>(&self, request: &mut Request<B>) -> Option<Span> {
        let tracer = self.tracer.as_ref()?;
        let span = tracer.call(method_of(request)?, request.headers());
        if !span.is_recording() {
            return None;
        }
        request.extensions_mut().insert(span.clone());
        Some(span)
    }
}

impl Ongoing for Span {
    fn ended(self, end: End<'_>) {
        let code = end.code();
        if let End::Fields(_) = end {
            self.set("rpc.grpc.status_code", code as u64);
        }
        if code != Code::Ok {
            self.fail();
        }
    }
}
