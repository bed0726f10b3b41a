import { invalid } from '../errors.js';
import type { WaitOptions } from '../scope.js';
import type { Session } from '../session.js';
import type { Lock } from './lock.js';
import { keyBefore, lockBy, tryLockBy } from './mutex.js';
import { REVOKE } from './own_key.js';
import { type Policy, placesOf } from './place.js';
import { toName } from './steps.js';

/**
 * A read-write lock (K4): readers share it, a writer has it alone, all in the order in which they asked.
 *
 * A session that writes may read, too, and be one of the readers when it has written (downgrade). A session that reads cannot begin
 * to write: two of them would wait for each other for ever.
 */
export class RwLock {
  readonly #session: Session;
  readonly #name: string;
  readonly #read: Policy;
  readonly #write: Policy;

  constructor(session: Session, name: string) {
    this.#session = session;
    this.#name = toName(name);
    const writers = `${name}/write/`;
    const readKey = `${name}/read/${session.leaseHex}`;
    const writeKey = `${writers}${session.leaseHex}`;
    const places = placesOf(session);
    this.#read = {
      key: readKey,
      value: '',
      keeps: REVOKE,
      blocker: async (steps, revision) => {
        const write = places.get(writeKey);
        // While its session writes, no other holds the lock.
        if (write?.isHeld === true && (await write.isOwn(steps))) return undefined;
        return await keyBefore(steps, writers, readKey, revision);
      },
    };
    this.#write = {
      key: writeKey,
      value: '',
      keeps: REVOKE,
      head: { prefix: `${name}/` },
      blocker: (steps, revision) => keyBefore(steps, `${name}/`, writeKey, revision),
      // A writer that queued after this one and before its read key waits for keys older than its own: it would not see the read
      // key. The write key stays for it until reading is over.
      keepUntil: async (steps, revision) => {
        const read = places.get(readKey);
        if (read?.isHeld !== true) return undefined;
        const between = { minCreateRevision: revision + 1n, maxCreateRevision: read.token - 1n, limit: 1, keysOnly: true };
        const { kvs } = await steps.persist(() => steps.list({ prefix: writers }, between));
        return kvs.length > 0 ? read.lifetime : undefined;
      },
    };
  }

  /** Waits until it may read. */
  read(options: WaitOptions = {}): Promise<Lock> {
    return lockBy(this.#session, this.#read, `waiting to read ${this.#name}`, options);
  }

  /** Waits until it may write. */
  async write(options: WaitOptions = {}): Promise<Lock> {
    this.#refuseUpgrade();
    return await lockBy(this.#session, this.#write, `waiting to write ${this.#name}`, options);
  }

  /** Takes the lock for reading if that is possible now; `undefined` otherwise. */
  tryRead(options: WaitOptions = {}): Promise<Lock | undefined> {
    return tryLockBy(this.#session, this.#read, `reading ${this.#name}`, options);
  }

  /** Takes the lock for writing if it is free; `undefined` otherwise. */
  async tryWrite(options: WaitOptions = {}): Promise<Lock | undefined> {
    this.#refuseUpgrade();
    return await tryLockBy(this.#session, this.#write, `writing ${this.#name}`, options);
  }

  #refuseUpgrade(): void {
    const places = placesOf(this.#session);
    const reads = places.get(this.#read.key)?.isHeld === true;
    if (reads && places.get(this.#write.key)?.isHeld !== true) {
      throw invalid(`the session reads ${this.#name}; unlock that before it writes`);
    }
  }
}
