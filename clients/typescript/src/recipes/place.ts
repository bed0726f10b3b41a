import { Attempts } from '../calls.js';
import type { Core } from '../core.js';
import { closed, isConclaveError, sessionLost } from '../errors.js';
import type { Range } from '../keys.js';
import { getOp } from '../kv.js';
import { Lifetime, Scope, type WaitOptions, checkTimeout } from '../scope.js';
import type { Session } from '../session.js';
import { type Own, enter, leave } from './entry.js';
import { Steps, outcome } from './steps.js';

/** An event that a contender waits for: a deletion in the range after the revision. */
export interface Blocker {
  readonly range: Range;
  readonly revision: bigint;
}

/** How a recipe queues. */
export interface Policy {
  readonly key: string;
  readonly value: string | Uint8Array;
  /** A value of the contender's key that stays when the key is put again. */
  readonly keeps?: string;
  /** If the contender's key is the oldest of this range, it has its turn. Saves a question. */
  readonly head?: Range;
  /** The blocker of a contender with this create revision; `undefined` if it has its turn, `gone` if its key is gone. */
  blocker(steps: Steps, revision: bigint): Promise<Blocker | undefined | 'gone'>;
  /** If the key must stay after the place was given up: resolves with what ends that. */
  keepUntil?(steps: Steps, revision: bigint): Promise<Lifetime | undefined>;
}

/** Who gives up waiting waits this long for its key to be deleted. After that it is deleted in the background. */
export const CLEANUP_MS = 1_000;

/**
 * The place of a session in a queue: a key with the session's lease, whose create revision is its position and, when it has its
 * turn, the fencing token (K1). It is shared by all who ask for it in the same session, and is given up by the last of them:
 *
 *     lock() ──┐                 ┌── unlock()
 *     lock() ──┴── one key ──────┴── unlock(): the key is deleted
 */
export class Place {
  readonly session: Session;
  readonly policy: Policy;
  /** Ends when the place is given up or lost. Then nothing that depends on it is held. */
  readonly lifetime = new Lifetime();
  #own: Own | undefined;
  #isHeld = false;
  #acquiring: Promise<void> | undefined;
  /** The latest attempt to create the key. */
  #entering: Promise<unknown> | undefined;
  /** The place was given up: its users may go on, and the key is gone. */
  #leaving: { readonly released: Promise<void>; readonly removed: Promise<void> } | undefined;
  #isLeft = false;
  /** The key was not deleted. */
  #isRefused = false;
  /** Attempts to delete the key. */
  readonly #deletions = new Attempts();
  #users = 0;
  readonly #onLeft: () => void;

  constructor(session: Session, policy: Policy, onLeft: () => void) {
    this.session = session;
    this.policy = policy;
    this.#onLeft = onLeft;
    const remove = session.lifetime.onEnd((reason) => {
      this.#isHeld = false;
      this.lifetime.end(reason);
      onLeft();
    });
    this.lifetime.onEnd(remove);
  }

  get key(): string {
    return this.policy.key;
  }

  /** The key as it was put. Only a place that was acquired has one. */
  get own(): Own {
    return this.#own as Own;
  }

  /** Create revision of the key. Only a place that was acquired has one. */
  get token(): bigint {
    return this.#own?.revision ?? 0n;
  }

  /** Whether it is certain that this place has its turn. Looks at the clock. */
  get isHeld(): boolean {
    return this.#isHeld && this.session.isAlive && this.lifetime.reason === undefined;
  }

  /** Whether the place was given up by its users. */
  get isLeft(): boolean {
    return this.#isLeft;
  }

  /** Resolves when the key is gone; `undefined` if the place was not given up. */
  get removed(): Promise<void> | undefined {
    return this.#leaving?.removed;
  }

  /** Waits for its turn. The place is given up if this fails and nobody else waits for it or holds it. */
  async acquire(scope: Scope): Promise<void> {
    this.#users += 1;
    try {
      this.#acquiring ??= this.#enterAndWait();
      await scope.wait(this.#acquiring);
      // Time may have passed between the answer and now (S3).
      if (!this.isHeld) throw this.lifetime.reason ?? sessionLost('it ended while it waited');
    } catch (error) {
      await this.#abandon();
      throw error;
    }
  }

  /** Takes its turn if it is free now. Otherwise gives the place up and returns false. */
  async tryAcquire(scope: Scope): Promise<boolean> {
    this.#users += 1;
    let isAcquired = false;
    try {
      if (this.#acquiring === undefined) {
        const isFirst = (await scope.wait(this.#enter())) === 'first';
        if (isFirst || (await scope.wait(this.#blocker())) === undefined) {
          this.#isHeld = this.lifetime.reason === undefined;
          this.#acquiring = Promise.resolve();
        }
      }
      isAcquired = this.isHeld;
      return isAcquired;
    } finally {
      if (!isAcquired) await this.#abandon();
    }
  }

  /** Gives up what was not acquired. Never rejects: the caller has another error to report, or none. */
  async #abandon(): Promise<void> {
    await this.release().catch((error: unknown) => this.#logUndeleted(error));
  }

  #logUndeleted(error: unknown): void {
    // Otherwise it was out of time, and the deletion goes on in the background.
    if (!this.#isRefused) return;
    this.session.core.log.write('warn', `the key ${this.key} was not deleted; others wait for it until its session ends`, error);
  }

  #steps(): Steps {
    return new Steps(this.session.core, this.lifetime);
  }

  async #enterAndWait(): Promise<void> {
    if ((await this.#enter()) === 'queued') await this.#wait();
  }

  /** Creates the key, or puts it once more if it is there. */
  #enter(): Promise<'first' | 'queued'> {
    const entering = this.#create();
    this.#entering = entering.catch(() => undefined);
    return entering;
  }

  async #create(): Promise<'first' | 'queued'> {
    const { key, value, keeps, head } = this.policy;
    const looks = head === undefined ? [] : [getOp(head, { sortBy: 'createRevision', limit: 1, keysOnly: true })];
    const { own, found } = await enter(this.session, { key, value, keeps, looks }, new Attempts(this.lifetime));
    this.#own = own;
    if (found[0]?.kvs[0]?.createRevision !== own.revision) return 'queued';
    this.#isHeld = this.lifetime.reason === undefined;
    return 'first';
  }

  #blocker(): Promise<Blocker | undefined | 'gone'> {
    const steps = this.#steps();
    return steps.persist(() => this.policy.blocker(steps, this.token));
  }

  async #wait(): Promise<void> {
    for (;;) {
      const blocker = await this.#blocker();
      if (blocker === undefined) {
        this.#isHeld = this.lifetime.reason === undefined;
        return;
      }
      if (blocker !== 'gone') await this.#steps().untilDeleted(blocker.range, blocker.revision + 1n);
      // Someone else deleted the key. It is created again, at the end of the queue.
      else if ((await this.#enter()) === 'first') return;
    }
  }

  /** One user less. The last one gives the place up. Resolves when the key is deleted, after some time at the latest. */
  async release(options: WaitOptions = { timeoutMs: CLEANUP_MS }): Promise<void> {
    checkTimeout(options.timeoutMs);
    this.#users -= 1;
    if (this.#users <= 0) await this.leave(options);
  }

  /**
   * Gives the place up, whoever uses it. If no server answers within the time this fails, and the key is deleted in the background
   * as long as the session lives. If a server refused it before, it is tried again.
   */
  async leave(options: WaitOptions = {}): Promise<void> {
    using scope = new Scope(`deleting the key ${this.key}`, options);
    this.#isHeld = false;
    this.#isLeft = true;
    if (this.#isRefused) this.#leaveAgain();
    this.#leaving ??= this.#startLeaving();
    try {
      await scope.wait(this.#leaving.released);
    } catch (error) {
      throw outcome(error, this.#deletions);
    }
  }

  #leaveAgain(): void {
    this.#isRefused = false;
    const places = placesOf(this.session);
    // A place that the session has taken since then has put the key again, and owns it now.
    const isTaken = places.has(this.key);
    this.#leaving = isTaken ? { released: Promise.resolve(), removed: Promise.resolve() } : undefined;
    if (!isTaken) places.set(this.key, this);
  }

  #startLeaving(): { released: Promise<void>; removed: Promise<void> } {
    this.lifetime.end(closed('lock'));
    const kept = this.#kept();
    const removed = kept.then((until) => this.#remove(until));
    removed.catch(() => undefined);
    const released = kept.then((until) => {
      if (until === undefined) return removed;
      removed.catch((error: unknown) => this.#logUndeleted(error));
      return undefined;
    });
    return { removed, released };
  }

  async #kept(): Promise<Lifetime | undefined> {
    await this.#entering;
    if (this.policy.keepUntil === undefined || this.#own === undefined || this.session.lifetime.isOver()) return undefined;
    const steps = new Steps(this.session.core, this.session.lifetime);
    return await this.policy.keepUntil(steps, this.#own.revision);
  }

  async #remove(until: Lifetime | undefined): Promise<void> {
    try {
      if (until !== undefined) await this.session.lifetime.wait(new Promise<void>((resolve) => until.onEnd(() => resolve())));
      // If no put was answered, there is no key, or only copies, which are deleted.
      if (this.#own !== undefined) await leave(this.session, this.#own, this.#deletions);
    } catch (error) {
      // The key goes with the session.
      if (this.session.lifetime.reason !== undefined) return;
      this.#isRefused = true;
      throw error;
    } finally {
      this.#onLeft();
    }
  }

  /** Whether the key is still this place's, which nobody has told it. */
  async isOwn(steps: Steps): Promise<boolean> {
    const [kv] = (await steps.persist(() => steps.list(this.key, { keysOnly: true }))).kvs;
    // It may have been given up meanwhile.
    if (!this.isHeld) return false;
    if (kv?.createRevision === this.#own?.revision) return true;
    this.deleted();
    return false;
  }

  /** The key was deleted by someone else. */
  deleted(): void {
    this.#isHeld = false;
    this.lifetime.end(sessionLost('the key was deleted'));
    this.#onLeft();
  }
}

/** The places of a session, by key. A session has one place in each queue. */
export function placesOf(session: Session): Map<string, Place> {
  return session.places as Map<string, Place>;
}

/** The session's place, or a new one. Waits if a former one is being given up. */
export async function placeIn(session: Session, scope: Scope, policy: Policy): Promise<Place> {
  const places = placesOf(session);
  for (;;) {
    scope.check();
    session.lifetime.check();
    const place = places.get(policy.key);
    if (place === undefined) break;
    if (place.isHeld) {
      // Someone else may have deleted the key: then the turn of this session is over, and its token is that of a former owner.
      if (await place.isOwn(new Steps(session.core, scope))) return place;
      continue;
    }
    if (place.removed === undefined) return place;
    await scope.wait(place.removed.catch(() => undefined));
    if (places.get(policy.key) === place) places.delete(policy.key);
  }
  const place: Place = new Place(session, policy, () => {
    if (places.get(policy.key) === place) places.delete(policy.key);
  });
  places.set(policy.key, place);
  return place;
}

/** Runs an operation of a recipe in a scope that ends with the client. Without a timeout it waits without a limit. */
export function inClient<T>(core: Core, what: string, options: WaitOptions, run: (scope: Scope) => Promise<T>): Promise<T> {
  return inScope(what, options, [core.open], run);
}

/** Runs an operation of a recipe in a scope that ends with the session. */
export function inSession<T>(session: Session, what: string, options: WaitOptions, run: (scope: Scope) => Promise<T>): Promise<T> {
  return inScope(what, options, [session.lifetime, session.core.open], run);
}

/** The options with the client's deadline, unless they have their own. For operations that do not wait for others. */
export function withDeadline(core: Core, options: WaitOptions): WaitOptions {
  return { ...options, timeoutMs: options.timeoutMs ?? core.timeoutMs };
}

async function inScope<T>(what: string, options: WaitOptions, parents: Lifetime[], run: (scope: Scope) => Promise<T>): Promise<T> {
  using scope = new Scope(what, options, ...parents);
  try {
    scope.check();
    return await run(scope);
  } catch (error) {
    // If the scope has ended, its reason says more than that of the step which failed, but not whether a write may have happened.
    const isOutOfTime = scope.reason?.kind === 'deadline';
    const isKnown = isConclaveError(error) && (error.maybe || (isOutOfTime && error.kind === 'unavailable'));
    throw isKnown ? error : (scope.reason ?? error);
  }
}
