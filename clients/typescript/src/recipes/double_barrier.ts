import { closed, invalid, sessionLost } from '../errors.js';
import { compare, deleteOp, getOp, owner, putOp } from '../kv.js';
import { Lifetime, Scope, type WaitOptions, checkTimeout } from '../scope.js';
import type { Session } from '../session.js';
import { inSession } from './place.js';
import { Steps, leaseIsGone, toName } from './steps.js';

/** Who gives up entering waits this long for its key to be deleted. */
const CLEANUP_MS = 1_000;

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

  constructor(session: Session, name: string, count: number) {
    if (!Number.isSafeInteger(count) || count < 1) throw invalid('a double barrier has a whole number of participants from 1');
    this.#session = session;
    this.#name = toName(name);
    this.#count = count;
    this.#waiters = { prefix: `${name}/waiters/` };
    this.#key = `${name}/waiters/${session.leaseHex}`;
    this.#ready = `${name}/ready`;
  }

  /** Enters, and waits until enough have entered. Who gives up leaves no key behind. */
  async enter(options: WaitOptions = {}): Promise<void> {
    checkTimeout(options.timeoutMs);
    const creating = new Lifetime();
    const created = this.#create(creating);
    try {
      await inSession(this.#session, `entering ${this.#name}`, options, async (scope) => {
        await scope.wait(created);
        await this.#untilReady(new Steps(this.#session.core, scope));
      });
    } catch (error) {
      creating.end(closed('place'));
      await this.#giveUp(created);
      throw leaseIsGone(error) ?? error;
    }
  }

  /** Creates the key. An attempt that was sent is not cancelled: the key must not be created after it was deleted. */
  async #create(creating: Lifetime): Promise<void> {
    const put = putOp(this.#key, '', { lease: this.#session.lease });
    const isFirst = compare(this.#waiters, 'createRevision', '=', 0n);
    const steps = new Steps(this.#session.core, this.#session.lifetime);
    await steps.persist(() => {
      creating.check();
      // A `ready` that is there before the first has entered was left by participants whose sessions ended.
      return steps.txn({ if: [isFirst], then: [deleteOp(this.#ready), put], else: [put] });
    });
  }

  async #untilReady(steps: Steps): Promise<void> {
    for (;;) {
      const looks = [getOp(this.#waiters, { keysOnly: true }), getOp(this.#ready)];
      const { responses, revision } = await steps.persist(() => steps.txn({ then: looks }));
      const [waiters = [], ready = []] = responses.map((response) => response.kvs);
      const own = waiters.find((kv) => kv.key.toString() === this.#key);
      if (own === undefined) throw sessionLost('its key was deleted');
      if (ready.length > 0) return;
      if (waiters.length >= this.#count) {
        // Whoever sees it first says so; that the last one to enter would is not certain.
        const open = { if: [owner(this.#key, own.createRevision)], then: [putOp(this.#ready, '')] };
        if ((await steps.persist(() => steps.txn(open))).succeeded) return;
      } else await steps.untilChanged({ prefix: `${this.#name}/` }, revision + 1n);
    }
  }

  /** Never rejects. If no server answers in time, it goes on in the background. */
  async #giveUp(created: Promise<void>): Promise<void> {
    using scope = new Scope('giving up', { timeoutMs: CLEANUP_MS });
    const steps = new Steps(this.#session.core, this.#session.lifetime);
    const remove = () => steps.persist(() => steps.txn({ then: [deleteOp(this.#key)] }));
    await scope.wait(created.catch(() => undefined).then(remove)).catch(() => undefined);
  }

  /** Leaves, and waits until all have left who were in at that time. */
  async leave(options: WaitOptions = {}): Promise<void> {
    await inSession(this.#session, `leaving ${this.#name}`, options, async (scope) => {
      const steps = new Steps(this.#session.core, scope);
      const [own] = (await steps.persist(() => steps.list(this.#key))).kvs;
      if (own === undefined) throw invalid(`the session has not entered ${this.#name}`);
      const isLast = compare(this.#waiters, 'createRevision', '=', own.createRevision);
      const remove = deleteOp(this.#key);
      const { revision } = await steps.persist(() =>
        steps.txn({ if: [isLast], then: [remove, deleteOp(this.#ready)], else: [remove] }),
      );
      await this.#untilAllHaveLeft(steps, revision);
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
    // The last one may not have left, but lost its session.
    const isEmpty = compare(this.#waiters, 'createRevision', '=', 0n);
    await steps.persist(() => steps.txn({ if: [isEmpty], then: [deleteOp(this.#ready)] }));
  }
}
