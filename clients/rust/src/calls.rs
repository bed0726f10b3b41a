//! Sending a call until it is answered, or must not be sent again, or its time is up.
//!
//! | the attempt | read, or repeatable write | other write |
//! |---|---|---|
//! | was provably not executed | next endpoint | next endpoint |
//! | was answered `UNAVAILABLE`, or broke off | next endpoint | error |
//! | is silent | next endpoint | waits until the deadline |
//!
//! A call was provably not executed if it was not sent, or if its error precedes execution as the
//! API's table says.
//!
//! After all endpoints have failed there is a pause, and then another round.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use conclave_proto::ApiError;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use tokio::time::{Instant, sleep_until, timeout_at};
use tonic::body::Body;
use tonic::{Code, Status};
use tower::{BoxError, Service};

use crate::Error;
use crate::backoff::Backoff;
use crate::connection::{Answering, Connection};
use crate::effect::{Effect, Sent, Shape, Unsettled, shape};
use crate::rotation::{Endpoint, Rotation, SILENCE_MAX, chain};
use crate::tasks::Tasks;

/// The name of the field with a call's time limit.
const TIMEOUT: &str = "grpc-timeout";
/// Time to open a stream or to begin a call that waits, after which its caller tries again.
const OPENING_MAX: Duration = Duration::from_secs(5);

/// Sends calls to the endpoints of a client. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Calls {
    rotation: Arc<Rotation>,
    tasks: Tasks,
    /// Time limit of a call that has none.
    deadline: Duration,
}

/// A call that can be sent more than once.
#[derive(Clone)]
pub(crate) struct Call {
    pub(crate) parts: Parts,
    body: Bytes,
    effect: Effect,
    /// Its deadline.
    pub(crate) until: Instant,
    /// Time after which an endpoint that sends nothing is silent.
    silence_max: Duration,
}

/// As an extension of an answer: the endpoint that gave it. As one of a request: the endpoint that
/// is chosen last.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Served(pub(crate) usize);

/// The outcome of an attempt.
enum Attempt {
    /// An answer to return to the caller.
    Answered(Response<Body>),
    /// An answer to return if there is no better one. The call was not executed, or, if `maybe`,
    /// can be repeated.
    Refused { answer: Response<Body>, maybe: bool },
    /// No answer. If `sent`, the call may have been executed.
    Failed { text: String, sent: bool },
}

impl Calls {
    pub(crate) fn new(rotation: Rotation, tasks: Tasks, deadline: Duration) -> Self {
        Self {
            rotation: Arc::new(rotation),
            tasks,
            deadline,
        }
    }

    /// Makes a call with one message each way ready to be sent.
    pub(crate) async fn prepare(
        &self,
        request: Request<Body>,
        effect: Effect,
    ) -> Result<Call, BoxError> {
        let (parts, body) = request.into_parts();
        let body = body.collect().await?.to_bytes();
        let limit = parts.headers.get(TIMEOUT).and_then(duration);
        let limit = limit.unwrap_or(self.deadline);
        Ok(Call {
            effect,
            until: Instant::now() + limit,
            silence_max: SILENCE_MAX.min(limit / 2),
            parts,
            body,
        })
    }

    /// Sends a call as the table above says.
    pub(crate) async fn unary(&self, call: &Call) -> Result<Response<Body>, Error> {
        let mut round = self.rotation.round();
        let mut pauses = Backoff::of_calls();
        // An attempt may have been executed; only calls that can be repeated go on after it.
        let mut may_have_happened = false;
        let mut refusal = None;
        let mut failure = String::from("no endpoint was tried");
        loop {
            let Some(endpoint) = self.rotation.pick(&mut round, None) else {
                sleep_until(call.until.min(Instant::now() + pauses.next())).await;
                if Instant::now() >= call.until {
                    break;
                }
                round = self.rotation.round();
                continue;
            };
            let mut sent = false;
            let attempt = timeout_at(call.until, self.attempt(&endpoint, call, &mut sent)).await;
            match attempt {
                Ok(Attempt::Answered(answer)) => return Ok(answer),
                Ok(Attempt::Refused { answer, maybe }) => {
                    refusal = Some(answer);
                    if maybe {
                        call.unsettle();
                    }
                }
                Ok(Attempt::Failed { text, sent }) => {
                    (failure, refusal) = (text, None);
                    may_have_happened |= sent;
                    call.mark(may_have_happened);
                    if sent {
                        call.unsettle();
                    }
                    if sent && !call.effect.may_repeat() {
                        break;
                    }
                }
                Err(_) if sent && call.effect == Effect::Read => {
                    return Err(Error::Deadline(format!("{} did not answer", endpoint.name)));
                }
                Err(_) => {
                    may_have_happened |= sent;
                    (failure, refusal) = (format!("{} did not answer", endpoint.name), None);
                    break;
                }
            }
        }
        match refusal {
            Some(answer) => Ok(answer),
            None if may_have_happened && call.effect != Effect::Read => Err(Error::Maybe(failure)),
            None => Err(Error::Unavailable(failure)),
        }
    }

    /// Sends a call to one endpoint. `sent` is set when it may be on its way.
    async fn attempt(&self, endpoint: &Arc<Endpoint>, call: &Call, sent: &mut bool) -> Attempt {
        let limit = call.silence_max;
        let failed = |text, sent| Attempt::Failed { text, sent };
        let connection = match endpoint.connection(limit).await {
            Ok(connection) => connection,
            Err(text) => return failed(text, false),
        };
        *sent = true;
        call.mark(true);
        let sending = exchange(&connection, call.request());
        tokio::pin!(sending);
        let answer = tokio::select! {
            biased;
            answer = &mut sending => answer,
            () = connection.silent(limit) => {
                endpoint.is_silent(&connection);
                if call.effect.may_repeat() {
                    return failed(format!("{} sends nothing", endpoint.name), true);
                }
                // It must not be sent again, and may still be answered.
                sending.await
            }
        };
        match answer {
            Ok(answer) => judge(answer, call.effect),
            Err((text, was_sent)) => failed(format!("{}: {text}", endpoint.name), was_sent),
        }
    }

    /// Opens a stream, or sends a call that waits for other clients: to the first endpoint that
    /// takes it.
    pub(crate) async fn long(&self, mut request: Request<Body>) -> Result<Response<Body>, Error> {
        let avoid = request.extensions().get().map(|Served(index)| *index);
        let waits = !request.headers().contains_key("hasleader");
        let mut round = self.rotation.round();
        let mut failure = String::from("no endpoint was tried");
        let until = Instant::now() + OPENING_MAX;
        while let Some(endpoint) = self.rotation.pick(&mut round, avoid) {
            let connection = match endpoint.connection(SILENCE_MAX).await {
                Ok(connection) => connection,
                Err(text) => {
                    failure = text;
                    continue;
                }
            };
            let sending = connection.send(request);
            tokio::pin!(sending);
            let answer = tokio::select! {
                biased;
                answer = &mut sending => answer,
                () = connection.silent(SILENCE_MAX), if !waits => {
                    endpoint.is_silent(&connection);
                    return Err(Error::Unavailable(format!("{} sends nothing", endpoint.name)));
                }
            };
            match answer {
                Ok(mut answer) => {
                    answer.extensions_mut().insert(Served(endpoint.index));
                    return Ok(answer);
                }
                Err(failed) => {
                    failure = format!("{}: {}", endpoint.name, chain(&*failed.error));
                    match failed.unsent {
                        Some(unsent) if Instant::now() < until => request = unsent,
                        Some(_) => break,
                        None => return Err(Error::Maybe(failure)),
                    }
                }
            }
        }
        Err(Error::Unavailable(failure))
    }

    /// Runs until the client is closed.
    pub(crate) async fn until_closed<T>(
        &self,
        call: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        tokio::select! {
            biased;
            () = self.tasks.stopped() => Err(Error::Closed("the client")),
            answer = call => answer,
        }
    }
}

/// Without a token: for logins.
impl Service<Request<Body>> for Calls {
    type Response = Response<Body>;
    type Error = BoxError;
    type Future = Answering;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let calls = self.clone();
        Box::pin(async move {
            match shape(request.uri().path()) {
                Shape::Unary(effect) => {
                    let call = calls.prepare(request, effect).await?;
                    Ok(calls.until_closed(calls.unary(&call)).await?)
                }
                Shape::Long => Ok(calls.until_closed(calls.long(request)).await?),
            }
        })
    }
}

impl Call {
    /// Notes for the caller whether the call may have been executed, if it should be closed now.
    fn mark(&self, sent: bool) {
        if let Some(mark) = self.parts.extensions.get::<Sent>() {
            mark.set(sent);
        }
    }

    /// Notes for the caller that an attempt may still be executed, whatever the next one's answer.
    fn unsettle(&self) {
        if let Some(unsettled) = self.parts.extensions.get::<Unsettled>() {
            unsettled.set();
        }
    }

    /// The request, with the time that is left.
    fn request(&self) -> Request<Body> {
        let mut parts = self.parts.clone();
        let left = self.until.saturating_duration_since(Instant::now());
        parts.headers.insert(TIMEOUT, time_limit(left));
        Request::from_parts(parts, Body::new(Full::new(self.body.clone())))
    }
}

/// Sends a request and reads the whole answer, whose status becomes an extension. The error says
/// whether the request may have been executed.
async fn exchange(
    connection: &Connection,
    request: Request<Body>,
) -> Result<Response<Body>, (String, bool)> {
    let answer = connection.send(request).await;
    let answer = answer.map_err(|failed| (chain(&*failed.error), !failed.was_not_executed()))?;
    let (mut parts, body) = answer.into_parts();
    let body = body.collect().await;
    let body = body.map_err(|error| (chain(&error), true))?;
    let status = status(&parts, body.trailers());
    parts.extensions.insert(status);
    Ok(Response::from_parts(parts, Body::new(body)))
}

fn judge(answer: Response<Body>, effect: Effect) -> Attempt {
    let status = answer
        .extensions()
        .get::<Status>()
        .expect("it was just added");
    // What it says of the call: whether it may have been executed.
    let refused = match ApiError::from_text(status.message()) {
        _ if status.code() == Code::Ok => None,
        // The answer to a question, not a failure.
        Some(ApiError::ElectionNoLeader) => None,
        Some(error) => error.is_retriable().then(|| error.may_have_happened()),
        None => (status.code() == Code::Unavailable).then_some(true),
    };
    match refused {
        Some(maybe) if effect.may_repeat() || !maybe => Attempt::Refused { answer, maybe },
        _ => Attempt::Answered(answer),
    }
}

/// The status of an answer. A refusal without any message has it among the headers.
fn status(head: &http::response::Parts, trailers: Option<&HeaderMap>) -> Status {
    let status = Status::from_header_map(&head.headers);
    let status = status.or_else(|| trailers.and_then(Status::from_header_map));
    status.unwrap_or_else(|| match head.status {
        StatusCode::BAD_GATEWAY
        | StatusCode::SERVICE_UNAVAILABLE
        | StatusCode::GATEWAY_TIMEOUT
        | StatusCode::TOO_MANY_REQUESTS => Status::unavailable("the proxy has no server"),
        _ => Status::unknown("the answer has no status"),
    })
}

/// Writes a time limit in the form of gRPC: at most eight digits, since servers refuse more.
fn time_limit(time: Duration) -> HeaderValue {
    const END: u128 = 100_000_000;
    let seconds = time.as_secs();
    let text = match time.as_millis() {
        milliseconds @ ..END => format!("{milliseconds}m"),
        _ if u128::from(seconds) < END => format!("{seconds}S"),
        // Of `DEADLINE_MAX` seven digits.
        _ => format!("{}M", seconds / 60),
    };
    HeaderValue::try_from(text).expect("digits and a letter")
}

/// Reads a time limit in the form of gRPC.
fn duration(value: &HeaderValue) -> Option<Duration> {
    let text = value.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let number: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(number * 3600),
        "M" => Duration::from_secs(number * 60),
        "S" => Duration::from_secs(number),
        "m" => Duration::from_millis(number),
        "u" => Duration::from_micros(number),
        "n" => Duration::from_nanos(number),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::DEADLINE_MAX;

    #[test]
    fn time_limits_have_at_most_eight_digits() {
        let cases = [
            (Duration::ZERO, "0m"),
            (Duration::from_millis(99_999_999), "99999999m"),
            (Duration::from_millis(100_000_000), "100000S"),
            (Duration::from_secs(99_999_999), "99999999S"),
            (Duration::from_secs(100_000_000), "1666666M"),
            (DEADLINE_MAX, "5256000M"),
        ];
        for (time, text) in cases {
            assert_eq!(time_limit(time), text);
        }
    }
}
