//! Networks that talk to each other.
