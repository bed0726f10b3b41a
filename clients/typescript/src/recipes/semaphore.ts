import { invalid } from '../errors.js';
import { getOp, owner } from '../kv.js';
import type { WaitOptions } from '../scope.js';
import type { Session } from '../session.js';
import type { Lock } from './lock.js';
import { lockBy, tryLockBy } from './mutex.js';
import { REVOKE } from './own_key.js';
import type { Blocker, Policy } from './place.js';
import { type Steps, toName } from './steps.js';

/** Number of the next key of a session, for the sessions and names of this process. */
const NEXT = new WeakMap<Session, Map<string, number>>();

/** A semaphore (K5): as many hold it as it has permits. One session can hold several permits. */
export class Semaphore {
  readonly #session: Session;
  readonly #name: string;
  readonly #permits: number;

  /** All contenders must give the same number of permits; another one fails with `invalid`. */
  constructor(session: Session, name: string, permits: number) {
    if (!Number.isSafeInteger(permits) || permits < 1) throw invalid('a semaphore has a whole number of permits from 1');
    this.#session = session;
    this.#name = toName(name);
    this.#permits = permits;
  }

  /** Waits for a permit. Unlocking gives it back. */
  acquire(options: WaitOptions = {}): Promise<Lock> {
    return lockBy(this.#session, this.#policy(), `waiting for the semaphore ${this.#name}`, options);
  }

  /** Takes a permit if one is free; `undefined` otherwise. */
  tryAcquire(options: WaitOptions = {}): Promise<Lock | undefined> {
    return tryLockBy(this.#session, this.#policy(), `the semaphore ${this.#name}`, options);
  }

  #policy(): Policy {
    const key = `${this.#name}/${this.#session.leaseHex}/${this.#number()}`;
    const blocker = (steps: Steps, revision: bigint) => this.#blocker(steps, key, revision);
    return { key, value: String(this.#permits), keeps: REVOKE, blocker };
  }

  #number(): number {
    const numbers = NEXT.get(this.#session) ?? new Map<string, number>();
    NEXT.set(this.#session, numbers);
    const number = numbers.get(this.#name) ?? 0;
    numbers.set(this.#name, number + 1);
    return number;
  }

  /** It holds a permit if fewer keys than permits are older than its own. */
  async #blocker(steps: Steps, key: string, revision: bigint): Promise<Blocker | undefined | 'gone'> {
    const prefix = `${this.#name}/`;
    const older = getOp({ prefix }, { maxCreateRevision: revision - 1n, sortBy: 'createRevision' });
    const { succeeded, revision: at, responses } = await steps.txn({ if: [owner(key, revision)], then: [older] });
    if (!succeeded) return 'gone';
    const kvs = responses[0]?.kvs ?? [];
    // A holder that was asked for its permit has another value.
    const permits = kvs.map((kv) => kv.value.toString()).find((value) => value !== REVOKE) ?? String(this.#permits);
    if (permits !== String(this.#permits)) {
      throw invalid(`the semaphore ${this.#name} has ${permits} permits, not ${this.#permits}; all must give the same number`);
    }
    // Whichever holder goes first makes room, so there is no single key to wait for.
    return kvs.length < this.#permits ? undefined : { range: { prefix }, revision: at };
  }
}
