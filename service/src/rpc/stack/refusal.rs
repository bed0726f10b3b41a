//! The future of a layer that may refuse a call.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::Response;
use pin_project_lite::pin_project;
use tonic::Status;

pin_project! {
    /// A response of the services, or a refusal of a layer.
    #[project = RefusableProjection]
    pub(crate) enum Refusable<F> {
        Admitted {
            #[pin]
            response: F,
        },
        Refused {
            status: Option<Box<Status>>,
        },
    }
}

impl<F> Refusable<F> {
    pub(super) fn refused(status: Status) -> Refusable<F> {
        // Boxed so that it takes no place in the future of a call that is not refused.
        let status = Some(Box::new(status));
        Refusable::Refused { status }
    }
}

impl<F, R> Future for Refusable<F>
where
    F: Future<Output = Result<Response<R>, Infallible>>,
    R: Default,
{
    type Output = Result<Response<R>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project() {
            RefusableProjection::Admitted { response } => response.poll(cx),
            RefusableProjection::Refused { status } => {
                let status = status.take().expect("polled once");
                Poll::Ready(Ok(status.into_http()))
            }
        }
    }
}
