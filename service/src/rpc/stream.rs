//! Response streams.
//!
//! [`Unfold`] makes a stream of an async step; [`Ended`] is what every streaming method returns: it
//! counts the messages, and ends the stream when the server stops or, for clients that asked for
//! it, when there is no leader.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use prometheus::IntCounter;
use tokio_stream::Stream;
use tokio_util::sync::ReusableBoxFuture;
use tonic::{Code, Status};

/// Result of a step: an item and the state for the next step, or the end.
type Step<S, T> = Option<(T, S)>;

/// A stream whose items are made one after the other by an async function. The next item is begun
/// when it is asked for, so a client that does not read holds one item, not a queue.
pub(crate) struct Unfold<S, T, F> {
    step: F,
    state: Option<S>,
    running: ReusableBoxFuture<'static, Step<S, T>>,
}

impl<S, T, F, Fut> Unfold<S, T, F>
where
    S: Send + 'static,
    T: Send + 'static,
    F: FnMut(S) -> Fut,
    Fut: Future<Output = Step<S, T>> + Send + 'static,
{
    /// Begins with `state`.
    pub(crate) fn new(state: S, step: F) -> Unfold<S, T, F> {
        // The placeholder is never polled: while there is a state to begin with, it is replaced.
        Unfold {
            step,
            state: Some(state),
            running: ReusableBoxFuture::new(std::future::pending()),
        }
    }
}

impl<S, T, F, Fut> Stream for Unfold<S, T, F>
where
    S: Send + Unpin + 'static,
    T: Send + 'static,
    F: FnMut(S) -> Fut + Unpin,
    Fut: Future<Output = Step<S, T>> + Send + 'static,
{
    type Item = T;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        let this = self.get_mut();
        if let Some(state) = this.state.take() {
            this.running.set((this.step)(state));
        }
        match ready!(this.running.poll(cx)) {
            Some((item, state)) => {
                this.state = Some(state);
                Poll::Ready(Some(item))
            }
            None => {
                this.running.set(std::future::pending());
                Poll::Ready(None)
            }
        }
    }
}

/// Returns true if the client sent something that is not a request, rather than having
/// disconnected: a stream that ends so counts as failed.
pub(crate) fn is_unreadable(status: &Status) -> bool {
    !matches!(
        status.code(),
        Code::Cancelled | Code::Unknown | Code::Unavailable | Code::DeadlineExceeded
    )
}

/// A future that resolves to the reason for which streams must end early.
pub(crate) type Ending = Pin<Box<dyn Future<Output = Status> + Send>>;

/// A response stream that may end early.
pub(crate) struct Ended<S> {
    items: S,
    /// Counts the items.
    sent: IntCounter,
    ending: Ending,
    done: bool,
}

impl<S> Ended<S> {
    /// Wraps `items`, which end when `ending` resolves.
    pub(crate) fn new(items: S, sent: IntCounter, ending: Ending) -> Ended<S> {
        Ended {
            items,
            sent,
            ending,
            done: false,
        }
    }
}

impl<S, T> Stream for Ended<S>
where
    S: Stream<Item = Result<T, Status>> + Unpin,
{
    type Item = Result<T, Status>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        if this.done {
            return Poll::Ready(None);
        }
        let item = match Pin::new(&mut this.items).poll_next(cx) {
            Poll::Ready(item) => item,
            Poll::Pending => Some(Err(ready!(this.ending.as_mut().poll(cx)))),
        };
        match &item {
            Some(Ok(_)) => this.sent.inc(),
            Some(Err(_)) | None => this.done = true,
        }
        Poll::Ready(item)
    }
}

#[cfg(test)]
mod tests {
    use tokio_stream::StreamExt as _;

    use super::*;

    #[tokio::test]
    async fn unfold_yields_until_its_step_ends() {
        let up_to_three = Unfold::new(0, |n: u32| async move { (n < 3).then_some((n, n + 1)) });
        assert_eq!(up_to_three.collect::<Vec<_>>().await, [0, 1, 2]);
    }
}
