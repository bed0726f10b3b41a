//! The progress bar, on standard error, shown only if that is a terminal.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::pace::Plan;

/// The progress of one workload: by requests if their number is known, otherwise by time.
pub(crate) struct Progress {
    bar: ProgressBar,
    by_requests: bool,
}

impl Progress {
    /// Refresh interval.
    pub(crate) const INTERVAL: Duration = Duration::from_millis(100);

    /// Creates a bar for `plan` with this name.
    pub(crate) fn new(name: &str, plan: &Plan, shown: bool) -> Progress {
        let total = plan.total.or_else(|| plan.intended());
        let length = match (total, plan.duration) {
            (Some(total), _) => total,
            (None, Some(duration)) => duration.as_millis() as u64,
            (None, None) => 0,
        };
        let bar = if shown {
            ProgressBar::new(length)
        } else {
            ProgressBar::hidden()
        };
        let template = if total.is_some() {
            "{msg:24} {bar:32} {human_pos}/{human_len} {per_sec} {eta}"
        } else {
            "{msg:24} {bar:32} {elapsed} {eta}"
        };
        let style = ProgressStyle::with_template(template);
        bar.set_style(style.expect("the templates above are well formed"));
        bar.set_message(name.to_owned());
        Progress {
            bar,
            by_requests: total.is_some(),
        }
    }

    pub(crate) fn show(&self, done: u64, elapsed: Duration) {
        let position = if self.by_requests {
            done
        } else {
            elapsed.as_millis() as u64
        };
        self.bar.set_position(position);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
