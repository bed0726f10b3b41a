import type { Client } from '../client.js';
import { getOp, owner, putOp } from '../kv.js';
import type { Scope, WaitOptions } from '../scope.js';
import type { Session } from '../session.js';
import { Lock } from './lock.js';
import { OwnKey, REVOKE } from './own_key.js';
import { type Blocker, type Policy, inSession, placeIn, withDeadline } from './place.js';
import { type Steps, toName } from './steps.js';

/** The blocker of a key of a prefix: the key before it (in the order of create revisions). */
export async function keyBefore(steps: Steps, prefix: string, key: string, revision: bigint): Promise<Blocker | undefined | 'gone'> {
  const before = { maxCreateRevision: revision - 1n, sortBy: 'createRevision', descending: true, limit: 1, keysOnly: true } as const;
  const { succeeded, revision: at, responses } = await steps.txn({ if: [owner(key, revision)], then: [getOp({ prefix }, before)] });
  if (!succeeded) return 'gone';
  const last = responses[0]?.kvs[0];
  return last === undefined ? undefined : { range: last.key, revision: at };
}

/** Policy of a queue in which the oldest key of a prefix owns. */
export function oldestOwns(
  prefix: string,
  session: Session,
  put: Pick<Policy, 'value' | 'keeps'> = { value: '', keeps: REVOKE },
): Policy {
  const key = `${prefix}${session.leaseHex}`;
  return {
    ...put,
    key,
    head: { prefix },
    blocker: (steps, revision) => keyBefore(steps, prefix, key, revision),
  };
}

/** Takes a lock by a policy. */
export async function lockBy(session: Session, policy: Policy, what: string, options: WaitOptions): Promise<Lock> {
  return inSession(session, what, options, async (scope) => {
    const place = await placeIn(session, scope, policy);
    await place.acquire(scope);
    return new Lock(place, OwnKey.of(place), (wait) => place.release(withDeadline(session.core, wait)));
  });
}

/** Takes a lock by a policy, if it is free. */
export async function tryLockBy(session: Session, policy: Policy, what: string, options: WaitOptions): Promise<Lock | undefined> {
  return inSession(session, what, withDeadline(session.core, options), async (scope: Scope) => {
    const place = await placeIn(session, scope, policy);
    if (!(await place.tryAcquire(scope))) return undefined;
    return new Lock(place, OwnKey.of(place), (wait) => place.release(withDeadline(session.core, wait)));
  });
}

/**
 * A mutex (K2): fair, reentrant for the session, with fencing tokens. Compatible with the mutex of etcd's Go client.
 *
 * One session has one place per name: a second `lock` of the same session succeeds at once. Tasks of one program that exclude each
 * other need a session each.
 */
export class Mutex {
  readonly #session: Session;
  readonly #policy: Policy;
  readonly #what: string;

  constructor(session: Session, name: string) {
    this.#session = session;
    this.#policy = oldestOwns(`${toName(name)}/`, session);
    this.#what = `waiting for the mutex ${name}`;
  }

  /** Waits for the mutex, without a limit unless one is given. */
  lock(options: WaitOptions = {}): Promise<Lock> {
    return lockBy(this.#session, this.#policy, this.#what, options);
  }

  /** Takes the mutex if it is free; `undefined` otherwise. */
  tryLock(options: WaitOptions = {}): Promise<Lock | undefined> {
    return tryLockBy(this.#session, this.#policy, this.#what, options);
  }

  /** Keys of the owner and of those who wait, in their order. */
  static async contenders(client: Client, name: string, options: WaitOptions = {}): Promise<string[]> {
    const { kvs } = await client.list({ prefix: `${toName(name)}/` }, { ...options, sortBy: 'createRevision', keysOnly: true });
    return kvs.map((kv) => kv.key.toString());
  }

  /** Asks the present owner to give the mutex up (K3). Returns whether there was an owner. */
  static async revoke(client: Client, name: string, options: WaitOptions = {}): Promise<boolean> {
    const oldest = { ...options, sortBy: 'createRevision', limit: 1, keysOnly: true } as const;
    for (;;) {
      const [kv] = (await client.list({ prefix: `${toName(name)}/` }, oldest)).kvs;
      if (kv === undefined) return false;
      const ask = { if: [owner(kv.key, kv.createRevision)], then: [putOp(kv.key, REVOKE, { keepLease: true })] };
      if ((await client.txn(ask, options)).succeeded) return true;
    }
  }
}
