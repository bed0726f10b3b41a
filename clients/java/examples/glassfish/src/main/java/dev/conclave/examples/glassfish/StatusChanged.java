package dev.conclave.examples.glassfish;

/** CDI event: the session's state, the leadership or something in the store has changed. */
public record StatusChanged() {}
