import { Attempts } from '../calls.js';
import { invalid, sessionLost } from '../errors.js';
import type { Compare, RequestOp } from '../gen/etcd/rpc.js';
import { compare, deleteOp, getOp, owner, putOp } from '../kv.js';
import type { Scope, WaitOptions } from '../scope.js';
import type { Session } from '../session.js';
import { type Own, leave, ownAt } from './entry.js';
import { withKey } from './own_value.js';
import { inSession } from './place.js';
import { Steps, outcome, toName } from './steps.js';

/** Revisions at which sessions have left, by key, until all others have left, too. */
const LEFT = new WeakMap<Session, Map<string, bigint>>();

/**
 * A double barrier (K8): all begin together, when enough have entered, and end together, when all leave. It can be used again.
 *
 *     enter ── waits until `count` have entered ── work ── leave ── waits until all have left
 */
export class DoubleBarrier {
  readonly #session: Session;
  readonly #name: string;
  readonly #count: number;
  readonly #waiters: { readonly prefix: string };
  readonly #key: string;
  readonly #ready: string;
  readonly #left: Map<string, bigint>;

  constructor(session: Session, name: string, count: number) {
    if (!Number.isSafeInteger(count) || count < 1) throw invalid('a double barrier has a whole number of participants from 1');
    this.#session = session;
    this.#name = toName(name);
    this.#count = count;
    this.#waiters = { prefix: `${name}/waiters/` };
    this.#key = `${name}/waiters/${session.leaseHex}`;
    this.#ready = `${name}/ready`;
    this.#left = LEFT.get(session) ?? new Map<string, bigint>();
    LEFT.set(session, this.#left);
  }

  /** Enters, and waits until enough have entered. Who gives up leaves no key behind. */
  async enter(options: WaitOptions = {}): Promise<void> {
    const session = this.#session;
    // A `ready` that is there before the first has entered was left by participants whose sessions ended.
    const also = [deleteIf(compare(this.#waiters, 'createRevision', '=', 0n), this.#ready)];
    await withKey(session, `entering ${this.#name}`, { key: this.#key, value: '', also }, options, (own, scope) => {
      this.#left.delete(this.#key);
      return this.#untilReady(new Steps(session.core, scope), own);
    });
  }

  async #untilReady(steps: Steps, { revision: entered }: Own): Promise<void> {
    for (;;) {
      const looks = [getOp(this.#waiters, { keysOnly: true }), getOp(this.#ready)];
      const { responses, revision } = await steps.persist(() => steps.txn({ then: looks }));
      const [waiters = [], [ready] = []] = responses.map((response) => response.kvs);
      if (!waiters.some((kv) => kv.createRevision === entered)) throw sessionLost('its key was deleted');
      // An older one was of a former round.
      if (ready !== undefined && ready.modRevision > entered) return;
      if (waiters.length >= this.#count) {
        // Whoever sees it first says so; that the last one to enter would is not certain. A copy that is executed late must not let
        // in the next round.
        const isUnchanged = compare(this.#ready, 'modRevision', '=', ready?.modRevision ?? 0n);
        const open = { if: [owner(this.#key, entered), isUnchanged], then: [putOp(this.#ready, '')] };
        if ((await steps.repeat(open)).succeeded) return;
      } else await steps.untilChanged({ prefix: `${this.#name}/` }, revision + 1n);
    }
  }

  /** Leaves, and waits until all have left who were in at that time. If that takes too long, another call waits on. */
  async leave(options: WaitOptions = {}): Promise<void> {
    await inSession(this.#session, `leaving ${this.#name}`, options, async (scope) => {
      const own = ownAt(this.#session, this.#key);
      if (own !== undefined) await this.#remove(own, scope);
      const revision = this.#left.get(this.#key);
      if (revision === undefined) throw invalid(`the session has not entered ${this.#name}`);
      await this.#untilAllHaveLeft(new Steps(this.#session.core, scope), revision);
      this.#left.delete(this.#key);
    });
  }

  /** Deletes the key, also if the caller gives up before that. */
  async #remove(own: Own, scope: Scope): Promise<void> {
    const attempts = new Attempts();
    const isLast = compare(this.#waiters, 'createRevision', '=', own.revision);
    const leaving = leave(this.#session, own, attempts, [deleteIf(isLast, this.#ready)]).then((result) => {
      if (result !== undefined) this.#left.set(this.#key, result.revision);
    });
    await scope.wait(leaving).catch((error: unknown) => {
      throw outcome(error, attempts);
    });
  }

  async #untilAllHaveLeft(steps: Steps, left: bigint): Promise<void> {
    for (;;) {
      // Those who have entered since then belong to the next round.
      const { kvs, revision } = await steps.persist(() =>
        steps.list(this.#waiters, { maxCreateRevision: left, limit: 1, keysOnly: true }),
      );
      if (kvs.length === 0) break;
      await steps.untilDeleted(this.#waiters, revision + 1n);
    }
    // The last one may not have left, but lost its session. While nobody is in, nobody needs `ready`, however late this is executed.
    const isEmpty = compare(this.#waiters, 'createRevision', '=', 0n);
    await steps.repeat({ if: [isEmpty], then: [deleteOp(this.#ready)] });
  }
}

/** A part of a transaction: deletes a key if a condition held before the transaction. */
function deleteIf(condition: Compare, key: string): RequestOp {
  return { request: { $case: 'requestTxn', value: { compare: [condition], success: [deleteOp(key)], failure: [] } } };
}
