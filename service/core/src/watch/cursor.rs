//! One watcher: a place in history that only moves forward. Pure.
//!
//! `next` is the first revision not yet shown to the client; everything below it was sent, or was
//! not for this watcher. All guarantees hang on it: an event is shown if and only if its revision
//! is at or above `next`, and showing it moves `next` past it. So whatever path an event comes by
//! (live, from the ring, from disk; one of them twice, or after another had it already) it is shown
//! once, in order, and never below the start.
//!
//! There are two stages. A *live* cursor is registered with the hub, which promises every matching
//! event from `next` on. A *lagging* one is not: it is new, its stream's queue overflowed, or the
//! hub itself was overrun. It is fed from history until the hub takes it again.
//!
//! Progress ("you have seen everything up to R") is given in answer to a *mark*: a message the hub
//! puts into the same queue as events, so all events up to the mark's revision that were promised
//! before it come before it. A cursor that became live after the mark was asked for may still have
//! older events behind the mark in the queue, unless it begins above it anyway: see
//! [`Cursor::covers`].

use conclave_proto::etcdserverpb::WatchCreateRequest;
use conclave_storage::Revision;

use super::events::View;
use super::index::KeyRange;

/// See the module.
#[derive(Debug)]
pub(crate) struct Cursor {
    /// Which keys.
    pub(crate) range: KeyRange,
    /// Which events, and how much of them.
    pub(crate) view: View,
    /// Large responses may be cut.
    pub(crate) fragment: bool,
    /// Wants progress from time to time.
    pub(crate) progress_notify: bool,
    /// What the client asked for: 0 for "from now".
    start: Revision,
    next: Revision,
    stage: Stage,
    /// Nothing was sent since the last tick.
    quiet: bool,
    /// Was quiet at the last tick, so the mark that follows is for it.
    asked: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Lagging,
    Live {
        /// Of the registration; see [`Cursor::fall_behind`].
        epoch: u64,
        /// The stream's last mark when the registration was made.
        after_mark: u64,
    },
}

impl Cursor {
    /// A lagging cursor, for a store that is at revision `current`.
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

    /// The first revision not yet shown.
    pub(crate) fn next(&self) -> Revision {
        self.next
    }

    /// Whether the cursor must be fed from history.
    pub(crate) fn is_lagging(&self) -> bool {
        self.stage == Stage::Lagging
    }

    /// The hub took the cursor's registration, made after the stream's mark number `after_mark`.
    pub(crate) fn become_live(&mut self, epoch: u64, after_mark: u64) {
        self.stage = Stage::Live { epoch, after_mark };
    }

    /// The hub dropped all registrations of an epoch, having delivered everything below `from`.
    /// Returns whether this cursor was one of them. One that was registered again in the meantime
    /// is of a later epoch.
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

    /// Whether events of `revision` are to be shown; if so, they count as shown.
    pub(crate) fn show(&mut self, revision: Revision) -> bool {
        let shown = revision >= self.next;
        if shown {
            self.next = revision.next();
            self.quiet = false;
        }
        shown
    }

    /// Whether history that begins at `from` can be fed to the cursor: a gap before it would lose
    /// events.
    pub(crate) fn can_follow(&self, from: Revision) -> bool {
        self.is_lagging() && self.next >= from
    }

    /// Everything below `to` has been offered.
    pub(crate) fn advance(&mut self, to: Revision) {
        self.next = self.next.max(to);
    }

    /// The timer ticked: returns whether progress is due, which the next mark will bring.
    pub(crate) fn tick(&mut self) -> bool {
        self.asked = self.progress_notify && self.quiet && !self.is_lagging();
        self.quiet = true;
        self.asked
    }

    /// A mark for the last tick arrived: returns whether to tell progress now.
    pub(crate) fn answer_tick(&mut self, mark: u64, revision: Revision) -> bool {
        std::mem::take(&mut self.asked) && self.quiet && self.covers(mark, revision)
    }

    /// Whether the cursor has shown, at the arrival of mark number `mark`, all it ever will of
    /// revisions up to `revision`. One that starts in the future has nothing to say before its
    /// start (etcd's #20221).
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
