//! Counters of gRPC calls, by method and by status code, under the names the Go middleware gave
//! them.
//!
//! Everything is resolved at start: a call costs two increments and no lookup. All codes of all
//! methods are there from the first scrape, at zero, as etcd does it: a rate over a series that
//! appears with its first error would miss that error.

use std::sync::Arc;

use prometheus::core::Collector;
use prometheus::{IntCounter, IntCounterVec, Opts};
use tonic::Code;

use crate::rpc::method::Method;

/// The codes by number; the label's value is the name Go prints.
const CODES: [(Code, &str); 17] = [
    (Code::Ok, "OK"),
    (Code::Cancelled, "Canceled"),
    (Code::Unknown, "Unknown"),
    (Code::InvalidArgument, "InvalidArgument"),
    (Code::DeadlineExceeded, "DeadlineExceeded"),
    (Code::NotFound, "NotFound"),
    (Code::AlreadyExists, "AlreadyExists"),
    (Code::PermissionDenied, "PermissionDenied"),
    (Code::ResourceExhausted, "ResourceExhausted"),
    (Code::FailedPrecondition, "FailedPrecondition"),
    (Code::Aborted, "Aborted"),
    (Code::OutOfRange, "OutOfRange"),
    (Code::Unimplemented, "Unimplemented"),
    (Code::Internal, "Internal"),
    (Code::Unavailable, "Unavailable"),
    (Code::DataLoss, "DataLoss"),
    (Code::Unauthenticated, "Unauthenticated"),
];

/// The counters of one method.
struct OfMethod {
    started: IntCounter,
    /// By the number of the code.
    handled: [IntCounter; CODES.len()],
}

/// The counters of all methods.
pub(crate) struct Calls {
    /// By the number of the method.
    methods: Vec<OfMethod>,
}

impl Calls {
    /// The counters, and what a registry takes to show them.
    pub(super) fn new() -> prometheus::Result<(Calls, Vec<Box<dyn Collector>>)> {
        let started = IntCounterVec::new(
            Opts::new("grpc_server_started_total", "RPCs started on the server."),
            &["grpc_type", "grpc_service", "grpc_method"],
        )?;
        let handled = IntCounterVec::new(
            Opts::new(
                "grpc_server_handled_total",
                "RPCs completed on the server, by outcome.",
            ),
            &["grpc_type", "grpc_service", "grpc_method", "grpc_code"],
        )?;
        let methods = Method::ALL
            .iter()
            .map(|method| {
                let labels = [method.shape().label(), method.service(), method.name()];
                OfMethod {
                    started: started.with_label_values(&labels),
                    handled: CODES.map(|(_, code)| {
                        handled.with_label_values(&[labels[0], labels[1], labels[2], code])
                    }),
                }
            })
            .collect();
        Ok((
            Calls { methods },
            vec![Box::new(started), Box::new(handled)],
        ))
    }

    fn handled(&self, method: Method, code: Code) {
        self.methods[method as usize].handled[code as usize].inc();
    }
}

/// A call that has begun. Dropped without an outcome, it counts as canceled: that is how a client
/// that went away looks from here.
pub(crate) struct Call {
    calls: Arc<Calls>,
    method: Method,
    open: bool,
}

impl Call {
    /// Counts the beginning of a call.
    pub(crate) fn start(calls: &Arc<Calls>, method: Method) -> Call {
        calls.methods[method as usize].started.inc();
        Call {
            calls: Arc::clone(calls),
            method,
            open: true,
        }
    }

    /// Counts the end of the call. Only the first end counts.
    pub(crate) fn end(&mut self, code: Code) {
        if std::mem::replace(&mut self.open, false) {
            self.calls.handled(self.method, code);
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.end(Code::Cancelled);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_stand_at_their_numbers() {
        for (number, (code, name)) in CODES.iter().enumerate() {
            assert_eq!(*code as usize, number);
            let ours = format!("{code:?}")
                .replace("Ok", "OK")
                .replace("Cancelled", "Canceled");
            assert_eq!(ours, *name);
        }
    }

    #[test]
    fn a_call_counts_once_whatever_happens_to_it() {
        let (calls, _) = Calls::new().expect("valid names");
        let calls = Arc::new(calls);
        let count = |code: Code| calls.methods[Method::Put as usize].handled[code as usize].get();

        let mut call = Call::start(&calls, Method::Put);
        call.end(Code::Ok);
        call.end(Code::Internal);
        drop(call);
        assert_eq!(
            (
                count(Code::Ok),
                count(Code::Internal),
                count(Code::Cancelled)
            ),
            (1, 0, 0)
        );

        drop(Call::start(&calls, Method::Put));
        assert_eq!(count(Code::Cancelled), 1);
        assert_eq!(calls.methods[Method::Put as usize].started.get(), 2);
    }
}
