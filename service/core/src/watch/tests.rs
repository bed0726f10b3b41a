//! Streams against a hub, one step at a time.
//!
//! [`world`] holds a ring, a hub and any number of sessions, without tasks or time: every step (the
//! hub's turn, a stream reading its queue, a step of history) happens when a test calls it.
//! [`scripts`] runs the golden scripts on it, [`random`] makes random steps and checks the
//! invariants, and [`whole`] runs the complete code, tasks included.

mod random;
mod scripts;
mod whole;
mod world;
