//! Counters of gRPC calls, by method and by status code, with the names of Go's gRPC middleware.
//!
//! All series are looked up at start, so a call costs two increments. All codes of all methods are
//! present at zero from the first scrape, as in etcd: a rate over a series that appears with its
//! first error would miss that error.
//!
//! A call counts as started when its headers arrive, and as handled when its client gets its
//! status, or goes away. So a message that cannot be decoded counts too, unlike in etcd.
//!
//! Messages are counted for streams only. A unary call has one request, and one response if it
//! succeeds, so its numbers of messages follow from the other counters and are set at a scrape
//! ([`Calls::settle`]). The duration of calls is measured with `--metrics=extensive`, as in etcd.

use std::sync::Arc;

use prometheus::core::Collector;
use prometheus::{Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, Opts};
use tonic::Code;

use crate::method::{Method, Shape};
use conclave_core::clock::Stopwatch;

/// The codes by number, with Go's name as the label's value.
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

/// Returns Go's name of a code.
pub(crate) fn code_name(code: Code) -> &'static str {
    CODES[code as usize].1
}

struct OfMethod {
    started: IntCounter,
    /// Indexed by the number of the code.
    handled: [IntCounter; CODES.len()],
    /// Messages from clients.
    received: IntCounter,
    /// Messages to clients.
    sent: IntCounter,
    /// Seconds from the request to the end of the last response; `None` if not measured.
    handling: Option<Histogram>,
}

const METHOD_LABELS: &[&str] = &["grpc_type", "grpc_service", "grpc_method"];

pub(crate) struct Calls {
    /// Indexed by the number of the method.
    methods: Vec<OfMethod>,
}

impl Calls {
    /// Returns the counters, and the collectors to register. With `timed`, the duration of calls is
    /// measured.
    pub(super) fn new(timed: bool) -> prometheus::Result<(Calls, Vec<Box<dyn Collector>>)> {
        let counters = |name, help| IntCounterVec::new(Opts::new(name, help), METHOD_LABELS);
        let started = counters("grpc_server_started_total", "RPCs started on the server.")?;
        let received = counters(
            "grpc_server_msg_received_total",
            "Messages of RPCs received from clients.",
        )?;
        let sent = counters(
            "grpc_server_msg_sent_total",
            "Messages of RPCs sent to clients.",
        )?;
        let handled = IntCounterVec::new(
            Opts::new(
                "grpc_server_handled_total",
                "RPCs completed on the server, by outcome.",
            ),
            &["grpc_type", "grpc_service", "grpc_method", "grpc_code"],
        )?;
        // With Prometheus' default buckets.
        let handling = HistogramVec::new(
            HistogramOpts::new(
                "grpc_server_handling_seconds",
                "Time from the start of an RPC on the server to its end.",
            ),
            METHOD_LABELS,
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
                    received: received.with_label_values(&labels),
                    sent: sent.with_label_values(&labels),
                    handling: timed.then(|| handling.with_label_values(&labels)),
                }
            })
            .collect();
        let collectors: Vec<Box<dyn Collector>> = vec![
            Box::new(started),
            Box::new(handled),
            Box::new(received),
            Box::new(sent),
            Box::new(handling),
        ];
        Ok((Calls { methods }, collectors))
    }

    /// Sets the counters of messages that are not counted one by one.
    pub(super) fn settle(&self) {
        for (method, counted) in Method::ALL.iter().zip(&self.methods) {
            let through = |counter: &IntCounter, total: u64| {
                counter.inc_by(total.saturating_sub(counter.get()));
            };
            match method.shape() {
                Shape::Unary => {
                    through(&counted.received, counted.started.get());
                    through(&counted.sent, counted.handled[Code::Ok as usize].get());
                }
                Shape::ServerStream => through(&counted.received, counted.started.get()),
                Shape::BidiStream => {}
            }
        }
    }

    /// Returns the counter of messages from clients on streams of this method.
    pub(crate) fn received(&self, method: Method) -> IntCounter {
        self.methods[method as usize].received.clone()
    }

    /// Returns the counter of messages to clients on streams of this method.
    pub(crate) fn sent(&self, method: Method) -> IntCounter {
        self.methods[method as usize].sent.clone()
    }

    /// Returns the number of calls that began.
    #[cfg(test)]
    pub(crate) fn started(&self, method: Method) -> u64 {
        self.methods[method as usize].started.get()
    }

    /// Returns the number of calls that ended with this code.
    #[cfg(test)]
    pub(crate) fn ended(&self, method: Method, code: Code) -> u64 {
        self.methods[method as usize].handled[code as usize].get()
    }

    fn handled(&self, method: Method, code: Code) {
        self.methods[method as usize].handled[code as usize].inc();
    }
}

/// A call in progress. A call that is dropped without an outcome counts as canceled, since its
/// client has gone away.
pub(crate) struct Call {
    calls: Arc<Calls>,
    method: Method,
    open: bool,
    /// `None` if durations are not measured.
    begun: Option<Stopwatch>,
}

impl Call {
    /// Counts the beginning of a call.
    pub(crate) fn start(calls: &Arc<Calls>, method: Method) -> Call {
        let counted = &calls.methods[method as usize];
        counted.started.inc();
        Call {
            calls: Arc::clone(calls),
            method,
            open: true,
            begun: counted.handling.is_some().then(Stopwatch::start),
        }
    }

    /// Counts the end of the call. Only the first end counts.
    pub(crate) fn end(&mut self, code: Code) {
        if std::mem::replace(&mut self.open, false) {
            self.calls.handled(self.method, code);
            let handling = &self.calls.methods[self.method as usize].handling;
            if let (Some(handling), Some(begun)) = (handling, self.begun) {
                handling.observe(begun.elapsed().as_secs_f64());
            }
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
        let (calls, _) = Calls::new(true).expect("valid names");
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
        let counted = &calls.methods[Method::Put as usize];
        assert_eq!(counted.started.get(), 2);
        let handling = counted.handling.as_ref().expect("measured");
        assert_eq!(handling.get_sample_count(), 2);
    }

    #[test]
    fn messages_of_unary_calls_follow_from_their_ends() {
        let (calls, _) = Calls::new(false).expect("valid names");
        let calls = Arc::new(calls);
        Call::start(&calls, Method::Put).end(Code::Ok);
        Call::start(&calls, Method::Put).end(Code::Unavailable);
        let _stream = Call::start(&calls, Method::RangeStream);
        calls.sent(Method::RangeStream).inc_by(2);
        for _ in 0..2 {
            calls.settle();
            let messages = |method: Method| {
                let counted = &calls.methods[method as usize];
                (counted.received.get(), counted.sent.get())
            };
            assert_eq!(messages(Method::Put), (2, 1));
            assert_eq!(messages(Method::RangeStream), (1, 2));
        }
    }
}
