//! Streams against a hub, one step at a time.
//!
//! [`world`] holds a ring, a hub and any number of sessions, without tasks or time: every step (the
//! hub's turn, a stream reading its queue, a step of history) happens when a test says so.
//! [`scripts`] runs the golden scripts on it, [`random`] rolls dice and checks the invariants, and
//! [`whole`] runs the real thing, tasks included.

mod random;
mod scripts;
mod whole;
mod world;
