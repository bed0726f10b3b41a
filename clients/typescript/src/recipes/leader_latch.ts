import type { Bytes } from '../keys.js';
import { isConclaveError } from '../errors.js';
import type { Session } from '../session.js';
import { Election, type Leadership } from './election.js';

/** Pause before campaigning again after a failure that may pass. */
const AGAIN_MS = 500;

/**
 * Campaigns and stays: the session leads whenever it is its turn, until the latch is closed (K6). If its key is deleted by someone
 * else it campaigns again. It ends with its session.
 */
export class LeaderLatch implements AsyncDisposable {
  readonly #session: Session;
  readonly #election: Election;
  readonly #value: Bytes;
  readonly #listeners = new Set<(isLeader: boolean) => unknown>();
  readonly #stop = new AbortController();
  #leadership: Leadership | undefined;
  #running: Promise<void>;

  constructor(session: Session, name: string, value: Bytes) {
    this.#session = session;
    this.#election = new Election(session, name);
    this.#value = value;
    this.#running = this.#run();
  }

  /** The leadership, while this session leads. */
  get leadership(): Leadership | undefined {
    return this.isLeader ? this.#leadership : undefined;
  }

  /** Whether this session certainly leads. Looks at the clock. */
  get isLeader(): boolean {
    return this.#leadership?.isHeld ?? false;
  }

  /** Calls the listener whenever leadership begins or ends, and now if it leads. Returns a function that removes it. */
  onChange(listener: (isLeader: boolean) => unknown): () => void {
    const own = (isLeader: boolean) => listener(isLeader);
    this.#listeners.add(own);
    if (this.isLeader) this.#session.core.log.run('a leader latch', own, true);
    return () => this.#listeners.delete(own);
  }

  /** Stops campaigning, and resigns. Can be called twice. */
  async close(): Promise<void> {
    this.#stop.abort();
    await this.#running;
    await this.#leadership?.resign();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #tell(isLeader: boolean): void {
    for (const listener of [...this.#listeners]) this.#session.core.log.run('a leader latch', listener, isLeader);
  }

  /** Never rejects. */
  async #run(): Promise<void> {
    const { signal } = this.#stop;
    while (!signal.aborted && this.#session.lifetime.reason === undefined) {
      try {
        const leadership = await this.#election.campaign(this.#value, { signal });
        this.#leadership = leadership;
        this.#tell(true);
        await this.#untilOver(leadership, signal);
        this.#tell(false);
      } catch (error) {
        if (isConclaveError(error, 'cancelled')) return;
        this.#session.core.log.write('warn', 'a leader latch could not campaign', error);
        await this.#session.lifetime.sleep(AGAIN_MS).catch(() => undefined);
      }
    }
  }

  #untilOver(leadership: Leadership, signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const over = () => {
        signal.removeEventListener('abort', over);
        leadership.lost.removeEventListener('abort', over);
        resolve();
      };
      if (signal.aborted || leadership.lost.aborted) resolve();
      signal.addEventListener('abort', over);
      leadership.lost.addEventListener('abort', over);
    });
  }
}
