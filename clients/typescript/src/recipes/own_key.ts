import { type ConclaveError, asError, isConclaveError } from '../errors.js';
import type { Core } from '../core.js';
import type { Place } from './place.js';
import { Steps } from './steps.js';

/** Value of an owner's key that asks the owner to give it up (K3). */
export const REVOKE = 'revoke';

const OWN_KEYS = new WeakMap<Place, OwnKey>();

/**
 * Tells an owner about its key: that it is lost, or that someone asks for it. The key is watched from the first time on that anyone
 * wants to know; the end of the session needs no watch.
 */
export class OwnKey {
  readonly #place: Place;
  readonly #core: Core;
  readonly #revokeListeners = new Set<() => unknown>();
  #abort: AbortController | undefined;
  #isRevoked = false;
  #isWatched = false;

  private constructor(place: Place) {
    this.#place = place;
    this.#core = place.session.core;
  }

  /** All handles of a place share one watch. */
  static of(place: Place): OwnKey {
    const known = OWN_KEYS.get(place) ?? new OwnKey(place);
    OWN_KEYS.set(place, known);
    return known;
  }

  get signal(): AbortSignal {
    if (this.#abort === undefined) {
      const abort = new AbortController();
      this.#abort = abort;
      this.#place.lifetime.onEnd((reason) => abort.abort(reason));
      this.#watch();
    }
    return this.#abort.signal;
  }

  onLost(listener: (reason: ConclaveError) => unknown): () => void {
    this.#watch();
    return this.#place.lifetime.onEnd((reason) => {
      // The owner's own unlocking is no loss, but the end of its session is.
      if (!this.#place.isLeft) this.#core.log.run('a lock', listener, reason);
    });
  }

  onRevoke(listener: () => unknown): () => void {
    const own = () => listener();
    this.#revokeListeners.add(own);
    if (this.#isRevoked) this.#core.log.run('a lock', own);
    this.#watch();
    return () => this.#revokeListeners.delete(own);
  }

  #watch(): void {
    if (this.#isWatched) return;
    this.#isWatched = true;
    void this.#follow();
  }

  /** Reads the key and then follows its changes, until the place ends. Never rejects. */
  async #follow(): Promise<void> {
    const { key, token, lifetime } = this.#place;
    const steps = new Steps(this.#core, lifetime);
    while (!lifetime.isOver()) {
      try {
        const { kvs, revision } = await steps.persist(() => steps.list(key));
        const [kv] = kvs;
        if (kv?.createRevision !== token) {
          this.#place.deleted();
          return;
        }
        if (kv.value.toString() === REVOKE) this.#revoked();
        await using watch = await steps.watch(key, revision + 1n);
        for await (const { events } of watch) {
          for (const event of events) {
            if (event.type === 'delete') this.#place.deleted();
            else if (event.value.toString() === REVOKE) this.#revoked();
          }
        }
      } catch (error) {
        if (lifetime.isOver()) return;
        if (isConclaveError(error, 'compacted')) continue;
        this.#core.log.write('warn', `the key ${key} of an owner cannot be watched`, asError(error));
        return;
      }
    }
  }

  #revoked(): void {
    if (this.#isRevoked) return;
    this.#isRevoked = true;
    for (const listener of [...this.#revokeListeners]) this.#core.log.run('a lock', listener);
  }
}
