package dev.conclave.examples.glassfish;

import java.util.List;

/**
 * The content of the store at one revision.
 *
 * @param revision the store's revision
 * @param leader null if there is none
 * @param members names of the servers with a session
 * @param terms the newest leaderships, the present one first
 * @param counter the number of the newest task
 * @param open tasks that are not done
 * @param done the newest tasks that are done
 */
public record View(
    long revision, Leader leader, List<String> members, List<Term> terms, long counter, List<Open> open, List<Done> done) {
  /** Nothing was read yet. */
  static final View NONE = new View(0, null, List.of(), List.of(), 0, List.of(), List.of());

  /** {@code since} is null until the leader has recorded it. */
  public record Leader(String name, long token, String since) {}

  /** The time in which one server led. */
  public record Term(long token, String since, String name) {}

  /** A task that was handed out under {@code token}; {@code worker} is null if nobody has taken it. */
  public record Open(long number, long token, String worker) {}

  /** A task that {@code worker} has done. */
  public record Done(long number, String worker) {}
}
