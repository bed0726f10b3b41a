//! Renders the text for scrapes, one at a time, and not on the workers that serve clients.
//!
//! A rendering takes a few milliseconds: it counts the process's open files and writes hundreds of
//! series. On a worker of the clients' runtime it would delay every connection of that worker, and
//! anyone who can connect may scrape at any rate. So it runs on a thread for blocking work, and all
//! scrapes that arrive during a rendering share the next one. The next rendering begins after they
//! arrived, so its numbers are as recent as those of a rendering of their own.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use tokio::sync::Mutex;

/// The state of renderings: the one in progress and the last one.
#[derive(Debug, Default)]
pub(super) struct Renderings {
    /// Number of renderings begun. Changes only under the lock of `last`.
    begun: AtomicU64,
    /// Locked by the rendering in progress.
    last: Arc<Mutex<Rendered>>,
}

#[derive(Debug, Default)]
struct Rendered {
    /// Number of the rendering, counted from 1.
    number: u64,
    text: Bytes,
}

impl Renderings {
    /// Returns the text of a rendering that began after this call, by `render` or another caller's
    /// function.
    pub(super) async fn text(
        &self,
        render: impl FnOnce() -> prometheus::Result<String> + Send + 'static,
    ) -> prometheus::Result<Bytes> {
        let asked = self.begun.load(Ordering::SeqCst);
        // The lock is granted in the order of arrival.
        let mut last = Arc::clone(&self.last).lock_owned().await;
        if last.number > asked {
            return Ok(last.text.clone());
        }
        let number = self.begun.fetch_add(1, Ordering::SeqCst) + 1;
        // The task holds the lock: if its caller goes away, no second rendering may begin.
        let rendering = tokio::task::spawn_blocking(move || {
            let text = Bytes::from(render()?);
            *last = Rendered {
                number,
                text: text.clone(),
            };
            Ok(text)
        });
        rendering.await.unwrap_or_else(|_| {
            let text = "the rendering did not finish".to_owned();
            Err(prometheus::Error::Msg(text))
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::task::Poll;

    use super::*;

    /// Waiting scrapes share one rendering, which is not the one in progress when they arrived.
    #[tokio::test]
    async fn waiting_scrapes_share_the_next_rendering() {
        let renderings = Renderings::default();
        let (finish, finished) = mpsc::channel::<()>();
        let mut first = Box::pin(renderings.text(move || {
            finished.recv().expect("finished below");
            Ok("first".to_owned())
        }));
        assert!(poll_once(&mut first).await.is_pending());
        let mut waiting: Vec<_> = (0..100)
            .map(|n| Box::pin(renderings.text(move || Ok(n.to_string()))))
            .collect();
        for scrape in &mut waiting {
            assert!(poll_once(scrape).await.is_pending());
        }
        finish.send(()).expect("it waits");
        assert_eq!(first.await.expect("a text"), "first");
        for scrape in waiting {
            assert_eq!(scrape.await.expect("a text"), "0");
        }
        assert_eq!(renderings.begun.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn a_scrape_without_company_is_fresh() {
        let renderings = Renderings::default();
        for text in ["1", "2"] {
            let rendered = renderings.text(move || Ok(text.to_owned())).await;
            assert_eq!(rendered.expect("a text"), text);
        }
    }

    /// If a client goes away, the next rendering still waits for its rendering, and a failed
    /// rendering is not shared.
    #[tokio::test]
    async fn one_rendering_at_a_time() {
        let renderings = Renderings::default();
        let (finish, finished) = mpsc::channel::<()>();
        let mut abandoned = Box::pin(renderings.text(move || {
            finished.recv().expect("finished below");
            Err(prometheus::Error::Msg("failed".to_owned()))
        }));
        assert!(poll_once(&mut abandoned).await.is_pending());
        drop(abandoned);
        let mut next = Box::pin(renderings.text(|| Ok("next".to_owned())));
        assert!(poll_once(&mut next).await.is_pending());
        assert_eq!(renderings.begun.load(Ordering::SeqCst), 1);
        finish.send(()).expect("it waits");
        assert_eq!(next.await.expect("a text"), "next");
    }

    async fn poll_once<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
        std::future::poll_fn(|cx| Poll::Ready(std::pin::Pin::new(&mut *future).poll(cx))).await
    }
}
