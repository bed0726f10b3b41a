//! The parts of authentication that need no other part of the server: checks of passwords, a bound
//! on guesses, and the two kinds of tokens.
//!
//! | module | what it does |
//! |---|---|
//! | [`passwords`] | hashes passwords with bcrypt, without delaying other clients |
//! | [`attempts`] | refuses addresses with many failed logins |
//! | [`simple_tokens`] | draws tokens, for `--auth-token=simple` |
//! | [`jwt`] | signs and verifies tokens, for `--auth-token=jwt,…` |
//!
//! Users, roles and permissions are in the state machine. Nothing here reads a clock: callers give
//! the time, so the rules about time have tests that do not wait.

pub(crate) mod attempts;
pub(crate) mod jwt;
pub(crate) mod passwords;
pub(crate) mod simple_tokens;
