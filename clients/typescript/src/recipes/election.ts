import type { Client } from '../client.js';
import type { ConclaveError } from '../errors.js';
import type { Compare } from '../gen/etcd/rpc.js';
import { type Bytes, toBuffer } from '../keys.js';
import { owner } from '../kv.js';
import type { WaitOptions } from '../scope.js';
import type { Session } from '../session.js';
import { Ending } from './ending.js';
import { type Place, inSession, placeIn, withDeadline } from './place.js';
import { oldestOwns } from './mutex.js';
import { OwnKey } from './own_key.js';
import { setValue } from './own_value.js';
import { type Leader, observeLeaders } from './observe.js';
import { toName } from './steps.js';

export type { Leader };

/** A leadership that was won. */
export class Leadership implements AsyncDisposable {
  readonly #place: Place;
  readonly #ownKey: OwnKey;
  readonly #ending = new Ending();

  /** @internal */
  constructor(place: Place) {
    this.#place = place;
    this.#ownKey = OwnKey.of(place);
  }

  /** The leader's key. */
  get key(): string {
    return this.#place.key;
  }

  /** Fencing token: grows with every leader. */
  get token(): bigint {
    return this.#place.token;
  }

  /** Condition for transactions that may take effect only under this leadership (K1). */
  get owner(): Compare {
    return owner(this.key, this.token);
  }

  /** Whether it certainly leads. Looks at the clock. */
  get isHeld(): boolean {
    return !this.#ending.hasBegun && this.#place.isHeld;
  }

  /** Aborts when the leadership ends. */
  get lost(): AbortSignal {
    return this.#ownKey.signal;
  }

  /** Calls the listener if the leadership is lost. Returns a function that removes it. */
  onLost(listener: (reason: ConclaveError) => unknown): () => void {
    return this.#ownKey.onLost(listener);
  }

  /** Replaces the leader's value. Fails with `session_lost` if it does not lead any more. */
  async proclaim(value: Bytes, options: WaitOptions = {}): Promise<void> {
    await setValue(this.#place.session, this.#place.own, value, options);
  }

  /** Gives the leadership up. If this fails it does not lead, but is in the others' way until it resigns once more. Can be called twice. */
  resign(options: WaitOptions = {}): Promise<void> {
    return this.#ending.begin(() => this.#place.leave(withDeadline(this.#place.session.core, options)));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.resign();
  }
}

/** An election (K6). Compatible with the election of etcd's Go client. */
export class Election {
  readonly #session: Session;
  readonly #name: string;

  constructor(session: Session, name: string) {
    this.#session = session;
    this.#name = toName(name);
  }

  /** Waits until this session leads, with this value. A session that leads already proclaims the value. */
  async campaign(value: Bytes, options: WaitOptions = {}): Promise<Leadership> {
    const session = this.#session;
    const wanted = toBuffer(value);
    return inSession(session, `campaigning in ${this.#name}`, options, async (scope) => {
      const policy = oldestOwns(`${this.#name}/`, session, { value: wanted });
      const place = await placeIn(session, scope, policy);
      await place.acquire(scope);
      const leadership = new Leadership(place);
      // Another call of this session made the place, with its own value.
      if (place.policy !== policy) await leadership.proclaim(wanted, options);
      return leadership;
    });
  }

  /**
   * Campaigns, runs the function while leading, and resigns. The signal aborts when the leadership ends, and the function should
   * return then.
   */
  async whileLeader<T>(
    value: Bytes,
    run: (signal: AbortSignal, leadership: Leadership) => Promise<T>,
    options: WaitOptions = {},
  ): Promise<T> {
    await using leadership = await this.campaign(value, options);
    return await run(leadership.lost, leadership);
  }

  /** The present leader, if there is one. */
  static async leader(client: Client, name: string, options: WaitOptions = {}): Promise<Leader | undefined> {
    const [kv] = (await client.list({ prefix: `${toName(name)}/` }, { ...options, sortBy: 'createRevision', limit: 1 })).kvs;
    return kv === undefined ? undefined : { key: kv.key.toString(), value: kv.value, token: kv.createRevision };
  }

  /** The present leader, then every change of the leader or its value. Changes in quick succession may be merged. */
  static observe(client: Client, name: string, options: { readonly signal?: AbortSignal } = {}): AsyncGenerator<Leader, void, void> {
    return observeLeaders(client.core, `${toName(name)}/`, options);
  }

  /** Values of the leader and of those who wait, in their order. */
  static async contenders(client: Client, name: string, options: WaitOptions = {}): Promise<Buffer[]> {
    const { kvs } = await client.list({ prefix: `${toName(name)}/` }, { ...options, sortBy: 'createRevision' });
    return kvs.map((kv) => kv.value);
  }
}
