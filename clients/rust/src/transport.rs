//! The transport of the generated stubs: endpoints in turn, attempts, and the token of
//! each call.

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Request, Response};
use tokio::time::timeout_at;
use tonic::body::Body;
use tonic::{Extensions, Status};
use tower::{BoxError, Service};

use crate::Error;
use crate::calls::Calls;
use crate::connection::Answering;
use crate::effect::{Effect, Sent, Shape, shape};
use crate::login::{Login, Token, is_refused_token};

/// The name of the field with the token.
const TOKEN: &str = "token";
/// Maximum number of times that a call is repeated after its token was refused. Users and roles may
/// change between a login and the next call; if they do so all the time, the caller gets the error.
pub(crate) const REPEATS_MAX: usize = 2;

/// Sends calls to the servers, each with the client's token if the client logs in. Cheap to clone.
#[derive(Clone)]
pub struct Transport {
    calls: Calls,
    login: Option<Arc<Login>>,
}

/// The token that a call was made with, among the extensions of its response.
#[derive(Clone)]
struct Used(Token);

impl Transport {
    pub(crate) fn new(calls: Calls, login: Option<Login>) -> Self {
        Self {
            calls,
            login: login.map(Arc::new),
        }
    }

    /// Forgets the token that a stream was opened with, if the stream ended for this token. Returns
    /// true if so.
    pub(crate) async fn forget_refused(&self, used: &Extensions, reason: &str) -> bool {
        let (Some(login), Some(Used(token))) = (&self.login, used.get()) else {
            return false;
        };
        let is_refused = is_refused_token(reason);
        if is_refused {
            login.forget(token).await;
        }
        is_refused
    }

    /// Sends a call with a deadline. One that is refused for its token was not executed, and is
    /// sent again with another token.
    async fn unary(
        &self,
        request: Request<Body>,
        effect: Effect,
    ) -> Result<Response<Body>, BoxError> {
        let mut call = self.calls.prepare(request, effect).await?;
        let Some(login) = &self.login else {
            return Ok(self.calls.unary(&call).await?);
        };
        let mut repeats = 0;
        loop {
            let token = match timeout_at(call.until, login.token()).await {
                Ok(token) => token?,
                Err(_) => return Err(Error::Unavailable("the login is not answered".into()).into()),
            };
            match &token {
                Some(token) => call.parts.headers.insert(TOKEN, token.clone()),
                None => call.parts.headers.remove(TOKEN),
            };
            let answer = self.calls.unary(&call).await?;
            let status = answer.extensions().get::<Status>();
            if !status.is_some_and(|status| is_refused_token(status.message())) {
                return Ok(answer);
            }
            login.forget(&token).await;
            if repeats == REPEATS_MAX {
                return Ok(answer);
            }
            repeats += 1;
        }
    }

    async fn long(&self, mut request: Request<Body>) -> Result<Response<Body>, BoxError> {
        let Some(login) = &self.login else {
            return Ok(self.calls.long(request).await?);
        };
        let token = login.token().await?;
        if let Some(token) = &token {
            request.headers_mut().insert(TOKEN, token.clone());
        }
        let mut answer = self.calls.long(request).await?;
        // An error without any message comes as headers only.
        let status = Status::from_header_map(answer.headers());
        if status.is_some_and(|status| is_refused_token(status.message())) {
            login.forget(&token).await;
        }
        answer.extensions_mut().insert(Used(token));
        Ok(answer)
    }
}

impl Service<Request<Body>> for Transport {
    type Response = Response<Body>;
    type Error = BoxError;
    type Future = Answering;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let transport = self.clone();
        Box::pin(async move {
            let shape = shape(request.uri().path());
            let extensions = request.extensions_mut();
            let sent = extensions.get_or_insert_with(Sent::default).clone();
            let effect = match (extensions.get(), shape) {
                (Some(&effect), _) | (None, Shape::Unary(effect)) => effect,
                (None, Shape::Long) => Effect::Read,
            };
            let sending = async {
                match shape {
                    Shape::Unary(_) => transport.unary(request, effect).await,
                    Shape::Long => transport.long(request).await,
                }
            };
            let until_closed = transport.calls.until_closed(async { Ok(sending.await) });
            let outcome = until_closed.await;
            outcome.map_err(|error| error.after(effect, &sent))?
        })
    }
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without the password.
        f.debug_struct("Transport")
            .field("logs_in", &self.login.is_some())
            .finish_non_exhaustive()
    }
}
