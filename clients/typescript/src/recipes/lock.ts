import type { ConclaveError } from '../errors.js';
import type { Compare } from '../gen/etcd/rpc.js';
import { owner } from '../kv.js';
import type { WaitOptions } from '../scope.js';
import { Ending } from './ending.js';
import type { OwnKey } from './own_key.js';
import type { Place } from './place.js';

/**
 * A lock that is held: a mutex, one side of a read-write lock, or permits of a semaphore.
 *
 *     await using lock = await mutex.lock();
 *     await client.txn({ if: [lock.owner], then: [putOp('account', '7')] }); // takes effect only while it is held
 */
export class Lock implements AsyncDisposable {
  readonly #place: Place;
  readonly #ownKey: OwnKey;
  readonly #unlock: (options: WaitOptions) => Promise<void>;
  readonly #ending = new Ending();

  /** @internal */
  constructor(place: Place, ownKey: OwnKey, unlock: (options: WaitOptions) => Promise<void>) {
    this.#place = place;
    this.#ownKey = ownKey;
    this.#unlock = unlock;
  }

  /** The owner's key. */
  get key(): string {
    return this.#place.key;
  }

  /** Fencing token: grows with every owner. */
  get token(): bigint {
    return this.#place.token;
  }

  /** Condition for transactions that may take effect only while the lock is held (K1). */
  get owner(): Compare {
    return owner(this.key, this.token);
  }

  /** Whether the lock is certainly held. Looks at the clock, so it is right after any pause of the process. */
  get isHeld(): boolean {
    return !this.#ending.hasBegun && this.#place.isHeld;
  }

  /** Aborts when the lock is lost or unlocked, so that work can be tied to it. */
  get lost(): AbortSignal {
    return this.#ownKey.signal;
  }

  /** Calls the listener if the lock is lost: its session is, or its key was deleted. Returns a function that removes it. */
  onLost(listener: (reason: ConclaveError) => unknown): () => void {
    return this.#ownKey.onLost(listener);
  }

  /** Calls the listener if someone asks for the lock (K3). Nothing is taken by force: unlock when it suits. */
  onRevoke(listener: () => unknown): () => void {
    return this.#ownKey.onRevoke(listener);
  }

  /**
   * Unlocks. A lock that the session has taken several times is free when it is unlocked as often. If no server answers within the
   * deadline this fails, and the key is deleted in the background as long as the session lives. If a server refuses it this fails,
   * too: it is no longer held then, but others wait for it until it is unlocked once more or the session ends. Can be called twice.
   */
  unlock(options: WaitOptions = {}): Promise<void> {
    return this.#ending.begin(() => this.#unlock(options));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.unlock();
  }
}
