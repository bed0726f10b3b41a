import { Attempts } from '../calls.js';
import type { Client } from '../client.js';
import { type Bytes, toKey } from '../keys.js';
import type { Scope, WaitOptions } from '../scope.js';
import type { Session } from '../session.js';
import { type ObserveOptions, type Table, observe } from './follow.js';
import { type Own, leave } from './entry.js';
import { setValue, withKey } from './own_value.js';
import { inSession, withDeadline } from './place.js';
import { outcome, toName } from './steps.js';

/**
 * A membership, or the registration of a service. It ends with its session. If the same session joins again by the same name, the
 * later membership has the key, and the former one has nothing to leave.
 */
export class Membership implements AsyncDisposable {
  readonly #session: Session;
  readonly #own: Own;

  private constructor(session: Session, own: Own) {
    this.#session = session;
    this.#own = own;
  }

  /** Creates the key. A former one of the same name, such as that of a process that was restarted, is taken over. */
  static async create(session: Session, key: string, value: Bytes, options: WaitOptions): Promise<Membership> {
    toKey(key);
    const limit = withDeadline(session.core, options);
    const join = (own: Own) => new Membership(session, own);
    return await withKey(session, `writing ${key}`, { key, value }, limit, join, outcome);
  }

  /** The member's key. */
  get key(): string {
    return this.#own.key;
  }

  /** Replaces the member's value. Fails with `session_lost` if it is no member any more, such as after it was taken over. */
  async update(value: Bytes, options: WaitOptions = {}): Promise<void> {
    await setValue(this.#session, this.#own, value, options);
  }

  /**
   * Ends the membership. One of the same name that was taken over by another session stays. If no server answers within the deadline
   * this fails, and the key is deleted in the background as long as the session lives. Can be called twice.
   */
  async leave(options: WaitOptions = {}): Promise<void> {
    const session = this.#session;
    if (!session.isAlive) return;
    const limit = withDeadline(session.core, options);
    const attempts = new Attempts();
    const run = (scope: Scope) => scope.wait(leave(session, this.#own, attempts));
    await inSession(session, `deleting ${this.key}`, limit, run).catch((error: unknown) => {
      throw outcome(error, attempts);
    });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.leave();
  }
}

/** Members of a group by name, with their values. */
export type Members = ReadonlyMap<string, Buffer>;

/** A group with members (K13). */
export class Group {
  readonly #client: Client;
  readonly #prefix: string;

  constructor(client: Client, name: string) {
    this.#client = client;
    this.#prefix = `${toName(name)}/`;
  }

  /** Joins with a session, for as long as it lives. */
  join(session: Session, member: string, value: Bytes = '', options: WaitOptions = {}): Promise<Membership> {
    return Membership.create(session, `${this.#prefix}${toName(member)}`, value, options);
  }

  /** The present members. */
  async members(options: WaitOptions = {}): Promise<Members> {
    const { kvs } = await this.#client.list({ prefix: this.#prefix }, options);
    return new Map(kvs.map((kv) => [this.#member(kv.key), kv.value]));
  }

  /** The present members, then the members after every change. Changes in quick succession may be merged. */
  listen(options: ObserveOptions = {}): AsyncGenerator<Members, void, void> {
    const view = (table: Table) => new Map(table.byKey().map((kv) => [this.#member(kv.key), kv.value]));
    return observe<Members>(this.#client.core, { prefix: this.#prefix }, options, view, () => false);
  }

  #member(key: Buffer): string {
    return key.toString().slice(this.#prefix.length);
  }
}
