import { randomBytes } from 'node:crypto';
import { Attempts } from '../calls.js';
import type { Client } from '../client.js';
import { invalid } from '../errors.js';
import type { KeyValue } from '../gen/etcd/kv.js';
import type { Bytes } from '../keys.js';
import { compare, deleteOp, getOp, owner, putOp } from '../kv.js';
import { Scope, type WaitOptions } from '../scope.js';
import type { Session } from '../session.js';
import { deleteOwn } from './entry.js';
import { watchCopies } from './late.js';
import { inSession, withDeadline } from './place.js';
import { Steps, leaseIsGone, toName } from './steps.js';

/** Options of an item. */
export interface PutItemOptions extends WaitOptions {
  /** From 0 to 99,999; the lower first. 0 if absent. */
  readonly priority?: number | undefined;
  /** The item is not given out before this many milliseconds from now. */
  readonly delayMs?: number | undefined;
}

/** An item that was taken. Acknowledge it when its work is done; it goes to another taker if the session ends before that. */
export class Item {
  readonly value: Buffer;
  readonly #session: Session;
  readonly #itemKey: string;
  readonly #claimKey: string;
  readonly #claimRevision: bigint;

  /** @internal */
  constructor(session: Session, itemKey: string, claimKey: string, claimRevision: bigint, value: Buffer) {
    this.#session = session;
    this.#itemKey = itemKey;
    this.#claimKey = claimKey;
    this.#claimRevision = claimRevision;
    this.value = value;
  }

  /**
   * Deletes the item. Returns false if the claim was lost: then another taker has the item, or will. After an error that may have
   * happened (`maybe`), a second call returns false, too, if the first one was executed.
   */
  ack(options: WaitOptions = {}): Promise<boolean> {
    return this.#end([deleteOp(this.#itemKey), deleteOp(this.#claimKey)], options);
  }

  /** Gives the item back for others to take. Returns false if the claim was lost, or as `ack` does after an error. */
  release(options: WaitOptions = {}): Promise<boolean> {
    return this.#end([deleteOp(this.#claimKey)], options);
  }

  /** Gives the item back, however long it takes. The session ends the claim otherwise. @internal */
  async withdraw(): Promise<void> {
    const revision = this.#claimRevision;
    await deleteOwn(this.#session, { key: this.#claimKey, revision, changed: revision });
  }

  async #end(operations: ReturnType<typeof deleteOp>[], options: WaitOptions): Promise<boolean> {
    const guard = owner(this.#claimKey, this.#claimRevision);
    const session = this.#session;
    return await inSession(session, 'an item', withDeadline(session.core, options), async (scope) => {
      const { succeeded } = await new Steps(session.core, scope).txn({ if: [guard], then: operations });
      return succeeded;
    });
  }
}

/** A key of an item, in its parts. */
interface Candidate {
  readonly rest: string;
  readonly priority: number;
  readonly due: number;
  readonly createRevision: bigint;
}

/** A queue with priorities and delays (K10). Every item is given out at least once. */
export class Queue {
  readonly #client: Client;
  readonly #items: string;
  readonly #claims: string;
  readonly #name: string;

  constructor(client: Client, name: string) {
    this.#client = client;
    this.#name = toName(name);
    this.#items = `${name}/items/`;
    this.#claims = `${name}/claims/`;
  }

  /** Puts an item into the queue. */
  async put(value: Bytes, options: PutItemOptions = {}): Promise<void> {
    const { priority = 0, delayMs = 0 } = options;
    if (!Number.isInteger(priority) || priority < 0 || priority > 99_999) throw invalid('priority is a whole number from 0 to 99,999');
    if (!(delayMs >= 0) || delayMs > 1e12) throw invalid('delayMs is a number of milliseconds of 0 or more');
    const due = delayMs === 0 ? 0 : Math.ceil(Date.now() + delayMs);
    const digits = (number: number, count: number) => String(number).padStart(count, '0');
    const rest = `${digits(priority, 5)}-${digits(due, 13)}-${randomBytes(8).toString('hex')}`;
    await this.#client.put(`${this.#items}${rest}`, value, options);
  }

  /** Waits for an item and takes it: the lowest priority first, then the earliest due time, then the oldest. */
  async take(session: Session, options: WaitOptions = {}): Promise<Item> {
    return await inSession(session, `taking from ${this.#name}`, options, async (scope) => {
      const steps = new Steps(session.core, scope);
      for (;;) {
        const looks = [this.#items, this.#claims].map((prefix) => getOp({ prefix }, { keysOnly: true }));
        const { responses, revision } = await steps.persist(() => steps.txn({ then: looks }));
        const free = this.#free(responses[0]?.kvs ?? [], responses[1]?.kvs ?? []);
        const now = Date.now();
        for (const candidate of free.filter(({ due }) => due <= now)) {
          const item = await this.#claim(session, scope, candidate);
          if (item !== undefined) return item;
        }
        const nextDue = Math.min(...free.map(({ due }) => due).filter((due) => due > now));
        await this.#untilChanged(steps, revision + 1n, nextDue - now);
      }
    });
  }

  /** Items that nobody has claimed, in the order in which they are given out. */
  #free(items: KeyValue[], claims: KeyValue[]): Candidate[] {
    const claimed = new Set(claims.map((kv) => kv.key.toString().slice(this.#claims.length)));
    const candidates = items.flatMap((kv): Candidate[] => {
      const rest = kv.key.toString().slice(this.#items.length);
      const match = /^(\d{5})-(\d{13})-/.exec(rest);
      if (match === null || claimed.has(rest)) return [];
      return [{ rest, priority: Number(match[1]), due: Number(match[2]), createRevision: kv.createRevision }];
    });
    return candidates.sort((a, b) => a.priority - b.priority || a.due - b.due || Number(a.createRevision - b.createRevision));
  }

  async #untilChanged(steps: Steps, from: bigint, timeoutMs: number): Promise<void> {
    using due = new Scope('waiting for an item', Number.isFinite(timeoutMs) ? { timeoutMs: Math.max(1, timeoutMs) } : {}, steps.scope);
    try {
      await new Steps(steps.core, due).untilChanged({ prefix: `${this.#name}/` }, from);
    } catch (error) {
      if (steps.scope.isOver() || due.reason?.kind !== 'deadline') throw error;
    }
  }

  /** Claims an item, if it is still there and free. A claim whose taker has given up meanwhile is given back. */
  async #claim(session: Session, scope: Scope, candidate: Candidate): Promise<Item | undefined> {
    const claiming = this.#tryClaim(session, candidate);
    try {
      return await scope.wait(claiming);
    } catch (error) {
      claiming.then((item) => item?.withdraw()).catch(() => undefined);
      throw error;
    }
  }

  async #tryClaim(session: Session, { rest, createRevision }: Candidate): Promise<Item | undefined> {
    const [itemKey, claimKey] = [`${this.#items}${rest}`, `${this.#claims}${rest}`];
    // Tells this claim from one that another task of the session has made, if an answer is lost.
    const mark = randomBytes(8).toString('hex');
    const steps = new Steps(session.core, session.lifetime);
    const isFree = [compare(claimKey, 'createRevision', '=', 0n), owner(itemKey, createRevision)];
    const looks = [getOp(claimKey), getOp(itemKey)];
    const attempts = new Attempts();
    let token = 0n;
    // A claim is guarded by the item: no copy is executed after the item was deleted, which deletes a claim, too.
    const isDone = async () => {
      const [item] = (await steps.persist(() => steps.list(itemKey, { keysOnly: true }))).kvs;
      return item?.createRevision !== createRevision;
    };
    try {
      const put = putOp(claimKey, mark, { lease: session.lease });
      const { responses } = await steps.repeat({ if: isFree, then: [put, ...looks], else: looks }, attempts);
      const [claim, item] = responses.slice(-2).map((response) => response.kvs[0]);
      if (claim?.value.toString() !== mark || item?.createRevision !== createRevision) return undefined;
      token = claim.createRevision;
      return new Item(session, itemKey, claimKey, token, item.value);
    } catch (error) {
      throw leaseIsGone(error) ?? error;
    } finally {
      if (attempts.isUnsettled) {
        // A claim with this mark is made once. Another one is a late copy.
        void watchCopies(session, claimKey, async (claim) => {
          if (claim === undefined) return await isDone();
          const { value, createRevision: revision, modRevision: changed } = claim;
          if (value.toString() === mark && revision !== token) await deleteOwn(session, { key: claimKey, revision, changed });
          return false;
        });
      }
    }
  }
}
