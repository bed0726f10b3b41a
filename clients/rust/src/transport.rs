//! The transport below the generated stubs: sends each call over a connection, with a token.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Request, Response};
use tonic::body::Body;
use tonic::{Extensions, Status};
use tower::{BoxError, Service, ServiceExt as _};

use crate::connections::Connections;
use crate::session::{Session, Token, is_refused_token};

/// The name of the field with the token.
const TOKEN: &str = "token";

/// Sends calls to the servers, each with the client's token if the client logs in. Cheap to clone.
#[derive(Clone)]
pub struct Transport {
    connections: Connections,
    session: Option<Arc<Session>>,
}

/// The token that a call was made with, among the extensions of its response.
#[derive(Clone)]
struct Used(Token);

impl Transport {
    pub(crate) fn new(connections: Connections, session: Option<Session>) -> Self {
        Self {
            connections,
            session: session.map(Arc::new),
        }
    }

    /// Returns true if calls have a token.
    pub(crate) fn logs_in(&self) -> bool {
        self.session.is_some()
    }

    /// Forgets the token that a stream was opened with, if the stream ended for this token. Returns
    /// true if so.
    pub(crate) async fn forget_refused(&self, used: &Extensions, reason: &str) -> bool {
        let (Some(session), Some(Used(token))) = (&self.session, used.get()) else {
            return false;
        };
        let is_refused = is_refused_token(reason);
        if is_refused {
            session.forget(token).await;
        }
        is_refused
    }
}

impl Service<Request<Body>> for Transport {
    type Response = Response<Body>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        match &self.session {
            // A call that waits for a login must not hold a place that the login needs.
            Some(_) => Poll::Ready(Ok(())),
            None => self.connections.poll_ready(context),
        }
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let Some(session) = self.session.clone() else {
            return Box::pin(self.connections.call(request));
        };
        let mut connections = self.connections.clone();
        Box::pin(async move {
            let token = session.token().await?;
            if let Some(token) = &token {
                request.headers_mut().insert(TOKEN, token.clone());
            }
            let mut response = connections.ready().await?.call(request).await?;
            // An error without any message comes as headers only.
            let status = Status::from_header_map(response.headers());
            if status.is_some_and(|status| is_refused_token(status.message())) {
                session.forget(&token).await;
            }
            response.extensions_mut().insert(Used(token));
            Ok(response)
        })
    }
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without the password.
        f.debug_struct("Transport")
            .field("logs_in", &self.logs_in())
            .finish_non_exhaustive()
    }
}
