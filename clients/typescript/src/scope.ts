import './polyfill.js';
import { ConclaveError, cancelled, deadline, invalid } from './errors.js';

/** Options of everything that waits. */
export interface WaitOptions {
  /** Cancels the call: it fails with the kind `cancelled`. */
  readonly signal?: AbortSignal | undefined;
  /** Longest time to wait, in milliseconds, above 0. Then the call fails with the kind `deadline`. */
  readonly timeoutMs?: number | undefined;
}

/** Checks a time that a caller gave. Callers in JavaScript have no compiler, and `NaN` would be no limit at all. */
export function checkTimeout(timeoutMs: unknown): void {
  if (timeoutMs === undefined || (typeof timeoutMs === 'number' && timeoutMs > 0)) return;
  throw invalid('timeoutMs is a number of milliseconds above 0');
}

/** Something that ends once, with a reason, and then runs its listeners in order and at once. */
export class Lifetime {
  #reason: ConclaveError | undefined;
  readonly #listeners = new Set<(reason: ConclaveError) => void>();

  /** The reason of the end, or `undefined` before it. */
  get reason(): ConclaveError | undefined {
    return this.#reason;
  }

  /** Whether the end has come. Unlike for `reason`, the compiler does not think that it stays as it is. */
  isOver(): boolean {
    return this.#reason !== undefined;
  }

  /** Throws if the end has come. */
  check(): void {
    if (this.#reason !== undefined) throw this.#reason;
  }

  /** Later calls are ignored. */
  end(reason: ConclaveError): void {
    if (this.#reason !== undefined) return;
    this.#reason = reason;
    const listeners = [...this.#listeners];
    this.#listeners.clear();
    for (const listener of listeners) listener(reason);
  }

  /** Runs the listener at the end, now if it has come. Returns a function that removes the listener. */
  onEnd(listener: (reason: ConclaveError) => void): () => void {
    if (this.#reason !== undefined) {
      listener(this.#reason);
      return () => undefined;
    }
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Number of listeners, for the tests of leaks. */
  get size(): number {
    return this.#listeners.size;
  }

  /** Settles as the promise does, or rejects at the end if that is earlier. */
  wait<T>(promise: Promise<T>): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      const remove = this.onEnd(reject);
      promise.then(resolve, reject).finally(remove);
    });
  }

  /** Resolves after the time, or rejects at the end. */
  sleep(ms: number): Promise<void> {
    return new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => {
        remove();
        resolve();
      }, ms);
      const remove = this.onEnd((reason) => {
        clearTimeout(timer);
        reject(reason);
      });
    });
  }
}

/** `setTimeout` fires at once for longer times. */
export const LONGEST_TIMER_MS = 2 ** 31 - 1;

/**
 * Lifetime of one operation. It ends with the first of: the caller's signal, the timeout, and any parent. Must be disposed of, so
 * that it leaves no listener and no timer behind.
 */
export class Scope extends Lifetime implements Disposable {
  readonly #cleanups: (() => void)[] = [];
  readonly #endsAt: number;

  constructor(what: string, options: WaitOptions, ...parents: Lifetime[]) {
    super();
    const { signal, timeoutMs } = options;
    checkTimeout(timeoutMs);
    this.#endsAt = performance.now() + (timeoutMs ?? Infinity);
    for (const parent of parents) {
      this.#cleanups.push(parent.onEnd((reason) => this.end(reason)));
    }
    if (signal !== undefined) {
      const abort = () => this.end(cancelled(signal.reason));
      if (signal.aborted) abort();
      else {
        signal.addEventListener('abort', abort, { once: true });
        this.#cleanups.push(() => signal.removeEventListener('abort', abort));
      }
    }
    if (timeoutMs !== undefined && timeoutMs <= LONGEST_TIMER_MS) {
      // After a blocked event loop, timers run before sockets are read. The immediate runs after them, so that an answer that has
      // come in the meantime counts.
      let immediate: NodeJS.Immediate | undefined;
      const end = () => this.end(deadline(what, timeoutMs / 1000));
      const timer = setTimeout(() => (immediate = setImmediate(end)), timeoutMs);
      this.#cleanups.push(() => {
        clearTimeout(timer);
        clearImmediate(immediate);
      });
    }
  }

  /** Milliseconds until the timeout; `Infinity` if there is none. */
  get remainingMs(): number {
    return this.#endsAt - performance.now();
  }

  [Symbol.dispose](): void {
    for (const cleanup of this.#cleanups.splice(0)) cleanup();
  }
}

/** Pause that doubles with each use. */
export class Backoff {
  #next: number;
  constructor(
    private readonly firstMs: number,
    private readonly longestMs: number,
  ) {
    this.#next = firstMs;
  }

  next(): number {
    const pause = this.#next;
    this.#next = Math.min(pause * 2, this.longestMs);
    return pause;
  }

  reset(): void {
    this.#next = this.firstMs;
  }
}
