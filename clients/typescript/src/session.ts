import { clock } from './clock.js';
import type { Client } from './client.js';
import type { Core } from './core.js';
import { type ConclaveError, closed, invalid, isConclaveError, sessionLost } from './errors.js';
import { LeaseService } from './gen/etcd/rpc.js';
import { KeepAlive } from './keepalive.js';
import { track } from './leftovers.js';
import { Lifetime, type WaitOptions, checkTimeout } from './scope.js';

/**
 * State of a session.
 *
 * - `CONNECTED`: the lease is alive.
 * - `SUSPENDED`: no keep-alive was confirmed for some time; the lease may still be alive.
 * - `RECONNECTED`: confirmed again after `SUSPENDED`, the same lease; nothing was lost.
 * - `LOST`: the lease is gone or must be thought gone. Final.
 */
export type SessionState = 'CONNECTED' | 'SUSPENDED' | 'RECONNECTED' | 'LOST';

/** Options of a session. */
export interface SessionOptions extends WaitOptions {
  /** Time to live in whole seconds, from 1 on; 10 if absent. The server may grant more. */
  readonly ttlSeconds?: number | undefined;
}

const DEFAULT_TTL_S = 10;
/** `SUSPENDED` begins this long after a keep-alive was due, or after a stream broke. */
const SUSPEND_MS = 1_000;

/** The time at which a lease must be thought gone (S2): the margin covers clocks whose rates differ by up to a twentieth. */
export function lostAt(sentAt: number, ttlMs: number): number {
  return sentAt + ttlMs - Math.max(ttlMs / 20, 100);
}

/**
 * A lease that is kept alive, with a state. Locks, leaderships and memberships depend on a session and end with it.
 *
 * A callback that blocks Node's event loop blocks the keep-alives, too. After such a block, and after a pause of the whole process,
 * the session looks at the clock before anything else that has arrived is delivered.
 */
export class Session implements AsyncDisposable {
  /** The lease's id. */
  readonly lease: bigint;
  /** Ends with `session_lost`, or with `closed`. @internal */
  readonly lifetime = new Lifetime();
  /** The client of the session. */
  readonly client: Client;
  /** @internal */
  readonly core: Core;
  /** State of the recipes for this session, by recipe and name. @internal */
  readonly places = new Map<string, unknown>();
  readonly #lost = new AbortController();
  readonly #listeners = new Set<(state: SessionState) => unknown>();
  readonly #changes: SessionState[] = [];
  #isEmitting = false;
  #state: SessionState = 'CONNECTED';
  #ttlMs: number;
  #sentAt: number;
  #confirmedAt: number;
  #brokeAt: number | undefined;
  #timer: NodeJS.Timeout | undefined;
  #closing: Promise<void> | undefined;

  private constructor(client: Client, lease: bigint, ttlMs: number, sentAt: number) {
    const { core } = client;
    this.client = client;
    this.core = core;
    this.lease = lease;
    this.#ttlMs = ttlMs;
    this.#sentAt = sentAt;
    this.#confirmedAt = clock.now();
    core.sessions.add(this);
    this.lifetime.onEnd(track('sessions'));
    const keepAlive = new KeepAlive(core, this.lifetime, lease, () => this.#ttlMs, {
      confirmed: (sent, ttl) => this.#confirmed(sent, ttl),
      broke: () => this.#broke(),
      gone: (reason) => this.#lose(reason),
    });
    void keepAlive.run();
    this.look();
  }

  /** Opens a session. */
  static async open(client: Client, options: SessionOptions = {}): Promise<Session> {
    const { ttlSeconds = DEFAULT_TTL_S } = options;
    if (typeof ttlSeconds !== 'number' || !(ttlSeconds >= 1 && ttlSeconds <= 9_000_000_000)) throw invalid('ttlSeconds is a number from 1 to 9,000,000,000');
    const request = { TTL: BigInt(Math.ceil(ttlSeconds)), ID: 0n };
    const { response, sentAt } = await client.core.answer({ method: LeaseService.leaseGrant, request, isWrite: true }, options);
    return new Session(client, response.ID, Number(response.TTL) * 1000, sentAt);
  }

  /** The lease's id in hexadecimal, as it is in the keys of recipes. */
  get leaseHex(): string {
    return BigInt.asUintN(64, this.lease).toString(16);
  }

  /** Time to live in milliseconds, as granted. */
  get ttlMs(): number {
    return this.#ttlMs;
  }

  /** The present state. Looks at the clock. */
  get state(): SessionState {
    this.look();
    return this.#state;
  }

  /** Whether the lease is certainly alive. Looks at the clock. */
  get isAlive(): boolean {
    return this.state !== 'LOST';
  }

  /** Aborts when the session is lost or closed, so that work can be tied to it. */
  get lost(): AbortSignal {
    return this.#lost.signal;
  }

  /**
   * Calls the listener with the present state, and then with every change in order. What it throws goes to the client's log hook.
   * Returns a function that removes it.
   */
  onState(listener: (state: SessionState) => unknown): () => void {
    const once = (state: SessionState) => listener(state);
    this.#listeners.add(once);
    // A change that is being delivered reaches this listener as its present state.
    this.core.log.run('a session', once, this.#state);
    return () => this.#listeners.delete(once);
  }

  /** Ends the session and revokes its lease, so that all its keys go at once. If no server answers, the lease expires by itself. */
  async close(options: WaitOptions = {}): Promise<void> {
    checkTimeout(options.timeoutMs);
    this.#closing ??= this.#close(options);
    await this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(options: WaitOptions): Promise<void> {
    const wasAlive = this.isAlive;
    this.#end(closed('session'));
    if (!wasAlive) return;
    try {
      const call = { method: LeaseService.leaseRevoke, request: { ID: this.lease }, isWrite: true };
      await this.core.lastCall(call, options);
    } catch (error) {
      if (isConclaveError(error) && error.apiName === 'LeaseNotFound') return;
      this.core.log.write('warn', `lease ${this.leaseHex} was not revoked; it expires by itself`, error);
    }
  }

  /** Looks at the clock, and does what is due. @internal */
  look(now = clock.now()): void {
    if (this.#state === 'LOST') return;
    const deadline = lostAt(this.#sentAt, this.#ttlMs);
    if (now >= deadline) {
      this.#lose('no keep-alive was confirmed within the time to live');
      return;
    }
    const due = this.#confirmedAt + this.#ttlMs / 3 + SUSPEND_MS;
    const suspendAt = Math.min(due, (this.#brokeAt ?? Infinity) + SUSPEND_MS);
    if (now >= suspendAt) this.#change('SUSPENDED');
    const next = now >= suspendAt ? deadline : Math.min(deadline, suspendAt);
    clearTimeout(this.#timer);
    // Timers may fire up to a millisecond early.
    this.#timer = setTimeout(() => this.look(), Math.min(next - now + 1, 2 ** 31 - 1));
  }

  #confirmed(sentAt: number, ttlMs: number): void {
    // An answer that comes too late must not save the session: others may have been told that it is lost.
    this.look();
    if (this.#state === 'LOST') return;
    this.#sentAt = sentAt;
    this.#ttlMs = ttlMs;
    this.#confirmedAt = clock.now();
    this.#brokeAt = undefined;
    if (this.#state === 'SUSPENDED') this.#change('RECONNECTED');
    this.look();
  }

  #broke(): void {
    this.#brokeAt ??= clock.now();
    this.look();
  }

  #lose(reason: string): void {
    this.#end(sessionLost(reason));
  }

  /** Everything that depends on the session ends first; then the listeners are told. */
  #end(reason: ConclaveError): void {
    if (this.#state === 'LOST') return;
    clearTimeout(this.#timer);
    this.core.sessions.delete(this);
    this.#changes.push('LOST');
    this.#state = 'LOST';
    this.lifetime.end(reason);
    this.#lost.abort(reason);
    this.#emit();
  }

  #change(state: SessionState): void {
    if (this.#state === state) return;
    this.#state = state;
    this.#changes.push(state);
    this.#emit();
  }

  /** A listener may cause another change, which is delivered after the present one has reached all listeners. */
  #emit(): void {
    if (this.#isEmitting) return;
    this.#isEmitting = true;
    for (let state = this.#changes.shift(); state !== undefined; state = this.#changes.shift()) {
      for (const listener of [...this.#listeners]) this.core.log.run('a session', listener, state);
    }
    this.#isEmitting = false;
  }
}
