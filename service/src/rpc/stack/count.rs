//! Counts calls by their methods and outcomes. A response that is dropped before its end, since its
//! client has gone away, counts as canceled ([`Call`]).

use std::sync::Arc;

use http::Request;

use super::follow::{End, Follow, Ongoing};
use super::method_of;
use crate::metrics::{Call, Calls, Metrics};

/// Counts the calls of the public API.
#[derive(Clone)]
pub(crate) struct Count {
    calls: Arc<Calls>,
}

impl Count {
    pub(super) fn new(metrics: &Metrics) -> Count {
        Count {
            calls: Arc::clone(metrics.calls()),
        }
    }
}

impl Follow for Count {
    type Call = Call;

    fn begin<B>(&self, request: &mut Request<B>) -> Option<Call> {
        method_of(request).map(|method| Call::start(&self.calls, method))
    }
}

impl Ongoing for Call {
    fn ended(mut self, end: End<'_>) {
        self.end(end.code());
    }
}
