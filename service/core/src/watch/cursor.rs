//! One watcher: a position in history that only moves forward. Without I/O.
//!
//! `next` is the first revision not yet shown to the client; everything below it was sent, or does
//! not match this watcher. All guarantees depend on it: an event is shown if and only if its
//! revision is at or above `next`, and showing it moves `next` past it. So every event is shown
//! once, in order, and never below the start, whatever its path: live, from the ring or from disk,
//! even if it arrives twice or another watcher got it earlier.
//!
//! A cursor has two stages. A *live* cursor is registered with the hub, which guarantees to deliver
//! every matching event from `next` on. A *lagging* cursor is not registered: the cursor is new,
//! its stream's queue overflowed, or the hub itself was overrun. A lagging cursor is fed from
//! history until the hub registers it again.
//!
//! Progress ("you have seen everything to R") is sent in response to a *mark*: a message that the
//! hub puts into the same queue as events, so that all earlier due events up to the mark's revision
//! precede it. If a cursor became live after the mark was requested, older events for it may still
//! follow the mark in the queue, unless the cursor starts above the mark: see [`Cursor::covers`].

use conclave_proto::etcdserverpb::WatchCreateRequest;
use conclave_storage::{KeyRange, Revision};

use super::events::View;

/// Position of one watcher in history.
#[derive(Debug)]
pub(crate) struct Cursor {
    /// Keys that the watcher wants.
    pub(crate) range: KeyRange,
    /// Events that the watcher wants, and their fields.
    pub(crate) view: View,
    /// True if large responses may be fragmented.
    pub(crate) fragment: bool,
    /// True if the client asked for progress notifications.
    pub(crate) progress_notify: bool,
    /// Start revision in the request: 0 for "from now".
    start: Revision,
    next: Revision,
    stage: Stage,
    /// True if nothing was sent since the last tick.
    quiet: bool,
    /// True if the watcher was quiet at the last tick, so the next mark triggers its progress.
    asked: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Lagging,
    Live {
        /// Epoch of the registration; see [`Cursor::fall_behind`].
        epoch: u64,
        /// Number of the stream's last mark when the registration was made.
        after_mark: u64,
    },
}

impl Cursor {
    /// Creates a lagging cursor, for a store at revision `current`.
    pub(crate) fn new(request: &WatchCreateRequest, range: KeyRange, current: Revision) -> Cursor {
        let start = Revision(request.start_revision);
        Cursor {
            range,
            view: View::of_request(&request.filters, request.prev_kv),
            fragment: request.fragment,
            progress_notify: request.progress_notify,
            start,
            next: if start.0 == 0 { current.next() } else { start },
            stage: Stage::Lagging,
            quiet: true,
            asked: false,
        }
    }

    /// Returns the first revision not yet shown.
    pub(crate) fn next(&self) -> Revision {
        self.next
    }

    /// Returns true if the cursor must be fed from history.
    pub(crate) fn is_lagging(&self) -> bool {
        self.stage == Stage::Lagging
    }

    /// Records that the hub accepted the cursor's registration, made after the stream's mark number
    /// `after_mark`.
    pub(crate) fn become_live(&mut self, epoch: u64, after_mark: u64) {
        self.stage = Stage::Live { epoch, after_mark };
    }

    /// Records that the hub dropped all registrations of an epoch, after delivering everything
    /// below `from`. Returns true if this cursor's registration was one of them. A cursor that was
    /// registered again in the meantime has a later epoch.
    pub(crate) fn fall_behind(&mut self, dropped: u64, from: Revision) -> bool {
        match self.stage {
            Stage::Live { epoch, .. } if epoch == dropped => {
                self.stage = Stage::Lagging;
                self.next = self.next.max(from);
                true
            }
            Stage::Live { .. } | Stage::Lagging => false,
        }
    }

    /// Returns true if events of `revision` are to be shown; they then count as shown.
    pub(crate) fn show(&mut self, revision: Revision) -> bool {
        let shown = revision >= self.next;
        if shown {
            self.next = revision.next();
            self.quiet = false;
        }
        shown
    }

    /// Returns true if history that begins at `from` can be fed to the cursor: a gap before `from`
    /// would lose events.
    pub(crate) fn can_follow(&self, from: Revision) -> bool {
        self.is_lagging() && self.next >= from
    }

    /// Records that everything below `to` has been offered.
    pub(crate) fn advance(&mut self, to: Revision) {
        self.next = self.next.max(to);
    }

    /// Processes a timer tick. Returns true if progress is due, which the next mark triggers.
    pub(crate) fn tick(&mut self) -> bool {
        self.asked = self.progress_notify && self.quiet && !self.is_lagging();
        self.quiet = true;
        self.asked
    }

    /// Processes the mark for the last tick. Returns true if progress is to be sent now.
    pub(crate) fn answer_tick(&mut self, mark: u64, revision: Revision) -> bool {
        std::mem::take(&mut self.asked) && self.quiet && self.covers(mark, revision)
    }

    /// Returns true if, at the arrival of mark number `mark`, the cursor has shown everything it
    /// ever will of revisions up to `revision`. A cursor that starts in the future sends no
    /// progress before its start (etcd's #20221).
    pub(crate) fn covers(&self, mark: u64, revision: Revision) -> bool {
        match self.stage {
            Stage::Live { after_mark, .. } => {
                revision >= self.start && (after_mark < mark || revision < self.next)
            }
            Stage::Lagging => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cursor(start_revision: i64) -> Cursor {
        let request = WatchCreateRequest {
            start_revision,
            progress_notify: true,
            ..WatchCreateRequest::default()
        };
        Cursor::new(&request, KeyRange::One("k".into()), Revision(10))
    }

    #[test]
    fn nothing_below_start() {
        let mut now = cursor(0);
        assert!(!now.show(Revision(10)) && now.show(Revision(11)));
        let mut past = cursor(4);
        assert!(!past.show(Revision(3)) && past.show(Revision(4)));
        let mut future = cursor(20);
        assert!(!future.show(Revision(19)) && future.show(Revision(20)));
    }

    #[test]
    fn revisions_never_go_back() {
        let mut cursor = cursor(4);
        assert!(cursor.show(Revision(6)));
        assert!(!cursor.show(Revision(6)) && !cursor.show(Revision(5)));
        assert!(cursor.show(Revision(7)));
    }

    #[test]
    fn history_with_a_gap_is_not_followed() {
        let mut cursor = cursor(4);
        assert!(cursor.can_follow(Revision(4)) && cursor.can_follow(Revision(2)));
        assert!(!cursor.can_follow(Revision(5)));
        cursor.become_live(0, 0);
        assert!(!cursor.can_follow(Revision(4)));
    }

    #[test]
    fn an_overflow_concerns_the_registrations_before_it() {
        let mut cursor = cursor(4);
        assert!(!cursor.fall_behind(0, Revision(9)), "it was not registered");
        cursor.become_live(1, 0);
        assert!(!cursor.fall_behind(0, Revision(9)));
        assert_eq!(cursor.next(), Revision(4));
        assert!(cursor.fall_behind(1, Revision(9)));
        assert_eq!((cursor.next(), cursor.is_lagging()), (Revision(9), true));
    }

    #[test]
    fn a_mark_covers_those_who_were_live_before_it() {
        let mut past = cursor(4);
        assert!(!past.covers(1, Revision(10)), "lagging");
        past.become_live(0, 1);
        assert!(past.covers(2, Revision(10)));
        assert!(
            !past.covers(1, Revision(10)),
            "revisions 4 to 10 may be behind the mark"
        );
        let mut now = cursor(0);
        now.become_live(0, 1);
        assert!(now.covers(1, Revision(10)), "it starts above the mark");
        let mut future = cursor(20);
        future.become_live(0, 1);
        assert!(!future.covers(2, Revision(19)) && future.covers(2, Revision(20)));
    }

    #[test]
    fn progress_is_for_the_quiet() {
        let mut cursor = cursor(0);
        assert!(!cursor.tick(), "lagging");
        cursor.become_live(0, 0);
        assert!(cursor.tick() && cursor.answer_tick(1, Revision(10)));
        assert!(
            !cursor.answer_tick(2, Revision(10)),
            "one answer for a tick"
        );
        assert!(cursor.show(Revision(11)));
        assert!(!cursor.tick(), "there was an event");
        assert!(cursor.tick());
        assert!(cursor.show(Revision(12)));
        assert!(
            !cursor.answer_tick(3, Revision(12)),
            "an event came in between"
        );
    }
}
