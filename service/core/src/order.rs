//! The order of the commands of one pipeline. [`crate::pipeline`] has the model.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use conclave_storage::Term;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The order of one pipeline, shared by its commands that are under way.
#[derive(Debug)]
pub(crate) struct Order {
    term: Term,
    leads: bool,
    has_ended: AtomicBool,
    /// Places that are free, on a member that does not lead.
    free: Arc<Semaphore>,
}

/// The place of one command in the order, from before it is in the mailbox until its outcome is
/// known. Dropped before that, it ends the order.
#[derive(Debug)]
pub(crate) struct Place {
    order: Arc<Order>,
    is_vacated: bool,
    _alone: Option<OwnedSemaphorePermit>,
}

impl Order {
    /// Begins in a term, in which this member leads or not.
    pub(crate) fn new(term: Term, leads: bool) -> Arc<Order> {
        Arc::new(Order {
            term,
            leads,
            has_ended: AtomicBool::new(false),
            free: Arc::new(Semaphore::new(1)),
        })
    }

    /// Takes the next place: at once on the leader, elsewhere when the command before has its
    /// outcome.
    pub(crate) async fn next_place(self: &Arc<Self>) -> Place {
        let alone = match self.leads {
            true => None,
            false => {
                let free = Arc::clone(&self.free).acquire_owned().await;
                Some(free.expect("the semaphore is never closed"))
            }
        };
        Place {
            order: Arc::clone(self),
            is_vacated: false,
            _alone: alone,
        }
    }

    /// Returns true if the order has not ended, and does not end because the term is this one and
    /// this member leads in it or not.
    pub(crate) fn holds(&self, term: Term, leads: bool) -> bool {
        !self.has_ended() && term == self.term && leads == self.leads
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.has_ended.load(Ordering::Acquire)
    }

    /// Ends the order: no further command may enter the log.
    pub(crate) fn end(&self) {
        self.has_ended.store(true, Ordering::Release);
    }
}

impl Place {
    pub(crate) fn order(&self) -> &Order {
        &self.order
    }

    /// Leaves the place to the next command, because the outcome of this one is known.
    pub(crate) fn vacate(mut self) {
        self.is_vacated = true;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // Before the place is free.
        if !self.is_vacated {
            self.order.end();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    fn poll<F: Future>(future: F) -> Poll<F::Output> {
        pin!(future).poll(&mut Context::from_waker(Waker::noop()))
    }

    fn next(order: &Arc<Order>) -> Place {
        match poll(order.next_place()) {
            Poll::Ready(place) => place,
            Poll::Pending => panic!("no place is free"),
        }
    }

    #[test]
    fn a_leader_gives_out_places_at_once() {
        let order = Order::new(Term(3), true);
        let places = [next(&order), next(&order)];
        for place in places {
            place.vacate();
        }
        assert!(order.holds(Term(3), true));
    }

    #[test]
    fn elsewhere_one_command_is_under_way_at_a_time() {
        let order = Order::new(Term(3), false);
        let place = next(&order);
        assert!(poll(order.next_place()).is_pending());
        place.vacate();
        next(&order).vacate();
        assert!(order.holds(Term(3), false));
    }

    #[test]
    fn a_command_without_an_outcome_ends_the_order_before_the_next_has_a_place() {
        for leads in [true, false] {
            let order = Order::new(Term(3), leads);
            drop(next(&order));
            assert!(order.has_ended());
        }
    }

    #[test]
    fn an_order_holds_in_its_own_term_and_role() {
        let order = Order::new(Term(3), true);
        assert!(order.holds(Term(3), true));
        assert!(!order.holds(Term(4), true));
        // It stepped down, and there is no other leader yet.
        assert!(!order.holds(Term(3), false));
    }
}
