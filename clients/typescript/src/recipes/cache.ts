import type { Client } from '../client.js';
import { type ConclaveError, asError, closed } from '../errors.js';
import { type Bytes, type Range, toKey } from '../keys.js';
import type { KeyValue } from '../gen/etcd/kv.js';
import { Lifetime, Scope, type WaitOptions } from '../scope.js';
import type { Watch } from '../watch.js';
import { Table, type TableChange } from './follow.js';
import { inClient } from './place.js';
import { Steps } from './steps.js';

export type { TableChange };

/** While someone waits for a revision, the server is asked this often how far it is. */
const PROGRESS_MS = 100;

/**
 * A local copy of a range that follows the server without a gap (K15). Reads cost nothing and may be old; `atLeast` makes them as
 * new as a revision that is known.
 */
export class Cache implements AsyncDisposable {
  readonly #core;
  readonly #table = new Table();
  readonly #lifetime = new Lifetime();
  readonly #listeners = new Set<(change: TableChange) => unknown>();
  readonly #waiters = new Set<() => void>();
  #revision = 0n;
  #watch: Watch | undefined;
  #running: Promise<void> = Promise.resolve();

  private constructor(client: Client) {
    this.#core = client.core;
    const remove = this.#core.open.onEnd((reason) => this.#lifetime.end(reason));
    this.#lifetime.onEnd(remove);
  }

  /** Reads the range, and resolves when it is there. */
  static async open(client: Client, range: Range, options: WaitOptions = {}): Promise<Cache> {
    const cache = new Cache(client);
    try {
      return await inClient(client.core, 'filling a cache', options, async (scope) => {
        const filled = new Promise<void>((resolve, reject) => {
          cache.#running = cache.#run(range, resolve, reject);
        });
        await scope.wait(filled);
        return cache;
      });
    } catch (error) {
      cache.#lifetime.end(closed('cache'));
      throw error;
    }
  }

  /** The revision that the cache has seen. */
  get revision(): bigint {
    return this.#revision;
  }

  /** A key as the cache has it. With `atLeast` it first waits until it has seen that revision. */
  async get(key: Bytes, options: WaitOptions & { readonly atLeast?: bigint | undefined } = {}): Promise<KeyValue | undefined> {
    const buffer = toKey(key);
    this.#lifetime.check();
    if (options.atLeast !== undefined) await this.atLeast(options.atLeast, options);
    return this.#table.get(buffer);
  }

  /** All keys as the cache has them, in their order. */
  list(): KeyValue[] {
    this.#lifetime.check();
    return this.#table.byKey();
  }

  /** Waits until the cache has seen a revision. */
  async atLeast(revision: bigint, options: WaitOptions = {}): Promise<void> {
    using scope = new Scope(`waiting for revision ${revision} in a cache`, options, this.#lifetime);
    while (this.#revision < revision) {
      // If no key of the range changes, only the server knows that the cache is up to date.
      this.#watch?.requestProgress();
      using soon = new Scope('progress', { timeoutMs: PROGRESS_MS }, scope);
      let wake: () => void = () => undefined;
      const changed = new Promise<void>((resolve) => (wake = resolve));
      this.#waiters.add(wake);
      await soon.wait(changed).catch(() => undefined);
      this.#waiters.delete(wake);
      scope.check();
    }
  }

  /**
   * Calls the listener with a put for every key that is there, and then with every change in order. After a compaction it gets the
   * differences. Returns a function that removes it.
   */
  listen(listener: (change: TableChange) => unknown): () => void {
    this.#lifetime.check();
    const own = (change: TableChange) => listener(change);
    for (const kv of this.#table.byKey()) this.#core.log.run('a cache', own, { type: 'put', key: kv.key, kv });
    this.#listeners.add(own);
    return () => this.#listeners.delete(own);
  }

  /** Ends the cache. Can be called twice. */
  async close(): Promise<void> {
    this.#lifetime.end(closed('cache'));
    await this.#running;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** Never rejects. */
  async #run(range: Range, filled: () => void, failed: (reason: ConclaveError) => void): Promise<void> {
    const steps = new Steps(this.#core, this.#lifetime);
    try {
      const updates = this.#table.follow(steps, range, (watch) => {
        this.#watch = watch;
        watch.onProgress = (revision) => this.#reached(revision);
      });
      for await (const { changes, revision } of updates) {
        for (const change of changes) {
          for (const listener of [...this.#listeners]) this.#core.log.run('a cache', listener, change);
        }
        this.#reached(revision);
        filled();
      }
    } catch (thrown) {
      const error = this.#lifetime.reason ?? asError(thrown);
      failed(error);
      if (!this.#lifetime.isOver()) this.#core.log.write('error', 'a cache has ended', error);
      this.#lifetime.end(error);
    }
  }

  #reached(revision: bigint): void {
    if (revision > this.#revision) this.#revision = revision;
    for (const wake of this.#waiters) wake();
  }
}
