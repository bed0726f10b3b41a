import type { Client } from '../client.js';
import { type Bytes, toKey } from '../keys.js';
import { compare, deleteOp, putOp } from '../kv.js';
import type { WaitOptions } from '../scope.js';
import type { Session } from '../session.js';
import { type ObserveOptions, type Table, observe } from './follow.js';
import { inSession, withDeadline } from './place.js';
import { Steps, leaseIsGone, mayHaveHappened, toName } from './steps.js';

/** A membership, or the registration of a service. It ends with its session. */
export class Membership implements AsyncDisposable {
  readonly #session: Session;
  /** The member's key. */
  readonly key: string;

  private constructor(session: Session, key: string) {
    this.#session = session;
    this.key = key;
  }

  /** Creates the key. A former one of the same name, such as that of a process that was restarted, is taken over. */
  static async create(session: Session, key: string, value: Bytes, options: WaitOptions): Promise<Membership> {
    toKey(key);
    const membership = new Membership(session, key);
    await membership.update(value, options);
    return membership;
  }

  /** Replaces the member's value. */
  async update(value: Bytes, options: WaitOptions = {}): Promise<void> {
    const session = this.#session;
    await inSession(session, `writing ${this.key}`, withDeadline(session.core, options), async (scope) => {
      const steps = new Steps(session.core, scope);
      const put = putOp(this.key, value, { lease: session.lease });
      await steps.persist(() => steps.txn({ then: [put] }));
    }).catch((error: unknown) => {
      throw leaseIsGone(error) ?? mayHaveHappened(error);
    });
  }

  /** Ends the membership. One of the same name that was taken over by another session stays. Can be called twice. */
  async leave(options: WaitOptions = {}): Promise<void> {
    const session = this.#session;
    if (!session.isAlive) return;
    await inSession(session, `deleting ${this.key}`, withDeadline(session.core, options), async (scope) => {
      const steps = new Steps(session.core, scope);
      const isOwn = compare(this.key, 'lease', '=', session.lease);
      await steps.persist(() => steps.txn({ if: [isOwn], then: [deleteOp(this.key)] }));
    }).catch((error: unknown) => {
      throw mayHaveHappened(error);
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
