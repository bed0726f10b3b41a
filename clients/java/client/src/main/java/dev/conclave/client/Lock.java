package dev.conclave.client;

/** A lock that is held. Closing it releases it. */
public final class Lock extends Handle {
  Lock(Ownership ownership) {
    super(ownership);
  }

  /** Releases the lock. The same as {@link #release()}. */
  public void unlock() {
    release();
  }
}
