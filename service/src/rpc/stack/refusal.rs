//! The future of a layer that may refuse a call.
//!
//! # Why a refusal reads the request
//!
//! A client may send the headers of a request before its message. If the answer ends the stream
//! before the message has come, the library counts the message as an error of the client, and
//! closes the connection after 1,024 of them: that is its defence against floods. A client that is
//! refused often would lose its leases' keep-alives, which are on the same connection. So the rest
//! of a refused request is read first, if it is short and its end is to be expected.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Buf as _;
use http::{Request, Response};
use hyper::body::Body;
use pin_project_lite::pin_project;
use tonic::Status;

use super::method_of;
use crate::method::Shape;

/// Longest rest of a refused request that is read before the answer.
const REST_BYTES_MAX: usize = 64 << 10;

pin_project! {
    /// A response of the services, or a refusal of a layer.
    #[project = RefusableProjection]
    pub(crate) enum Refusable<F, B> {
        Admitted {
            #[pin]
            response: F,
        },
        Refused {
            #[pin]
            request: Rest<B>,
            status: Option<Box<Status>>,
        },
    }
}

pin_project! {
    /// The rest of a refused request.
    pub(crate) struct Rest<B> {
        // `None` if it is not read.
        #[pin]
        body: Option<B>,
        bytes_left: usize,
    }
}

impl<F, B> Refusable<F, B> {
    pub(super) fn refused(request: Request<B>, status: Status) -> Refusable<F, B> {
        // The messages of a stream end when its client has the answer.
        let is_stream =
            method_of(&request).is_some_and(|method| method.shape() == Shape::BidiStream);
        let request = Rest {
            body: (!is_stream).then(|| request.into_body()),
            bytes_left: REST_BYTES_MAX,
        };
        // Boxed so that it takes no place in the future of a call that is not refused.
        let status = Some(Box::new(status));
        Refusable::Refused { request, status }
    }
}

impl<B: Body> Rest<B> {
    /// Ready when the request has ended, or when the rest of it is not worth the wait.
    fn poll_end(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut this = self.project();
        let Some(mut body) = this.body.as_mut().as_pin_mut() else {
            return Poll::Ready(());
        };
        while let Some(Ok(frame)) = ready!(body.as_mut().poll_frame(cx)) {
            let bytes = frame.data_ref().map_or(0, |data| data.remaining());
            match this.bytes_left.checked_sub(bytes) {
                Some(left) => *this.bytes_left = left,
                None => break,
            }
        }
        Poll::Ready(())
    }
}

impl<F, B, R> Future for Refusable<F, B>
where
    F: Future<Output = Result<Response<R>, Infallible>>,
    B: Body,
    R: Default,
{
    type Output = Result<Response<R>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project() {
            RefusableProjection::Admitted { response } => response.poll(cx),
            RefusableProjection::Refused { request, status } => {
                ready!(request.poll_end(cx));
                let status = status.take().expect("polled once");
                Poll::Ready(Ok(status.into_http()))
            }
        }
    }
}
