import type { Compare, RequestOp } from '../gen/etcd/rpc.js';
import { type Bytes, toBuffer } from '../keys.js';
import { type TxnResponseOp, type TxnResult, compare, deleteOp, getOp, owner, putOp } from '../kv.js';
import type { Lifetime } from '../scope.js';
import type { Session } from '../session.js';
import { watchCopies } from './late.js';
import { Steps, leaseIsGone } from './steps.js';

/** A key that its session has put. */
export interface Own {
  readonly key: string;
  /** Its create revision: the fencing token, if it owns (K1). */
  readonly revision: bigint;
  /** Its mod revision after the last change that is known. */
  changed: bigint;
}

/** A put of a session's key. */
export interface Put {
  readonly key: string;
  readonly value: Bytes;
  /** Operations that go with the put. */
  readonly also?: readonly RequestOp[];
  /** Reads after the put. */
  readonly looks?: readonly RequestOp[];
}

/** Result of entering. */
export interface Entered {
  readonly own: Own;
  /** The session had no key there before. */
  readonly isNew: boolean;
  /** Results of the looks. */
  readonly found: TxnResponseOp[];
}

/**
 * A session's place at a key. Puts and deletions of the key are made one after another, so that the deletion of one key, or of a
 * late copy of its put, cannot hit the next one.
 */
class Entry {
  /** The key that the session waits with or holds. Another one with its lease is a late copy. */
  own: Own | undefined;
  /** Late copies of its puts are deleted. */
  isWatched = false;
  #last: Promise<void> = Promise.resolve();

  private constructor(
    private readonly entries: Map<string, Entry>,
    private readonly key: string,
  ) {
    entries.set(key, this);
  }

  static of(session: Session, key: string): Entry {
    const entries = ENTRIES.get(session) ?? new Map<string, Entry>();
    ENTRIES.set(session, entries);
    return entries.get(key) ?? new Entry(entries, key);
  }

  /** Runs a step when the former ones have ended. */
  inTurn<T>(step: () => Promise<T>): Promise<T> {
    const done = this.#last.then(step);
    const after = () => {
      const isUsed = this.#last !== last || this.own !== undefined || this.isWatched;
      if (!isUsed) this.entries.delete(this.key);
    };
    const last = done.then(after, after);
    this.#last = last;
    return done;
  }
}

const ENTRIES = new WeakMap<Session, Map<string, Entry>>();

/** The key that the session has put there and not deleted. */
export function ownAt(session: Session, key: string): Own | undefined {
  return ENTRIES.get(session)?.get(key)?.own;
}

/**
 * Puts a key of the session. An attempt that was sent is not cancelled, so that a deletion comes after it. When the caller gives
 * up, no other one is made.
 */
export function enter(session: Session, put: Put, giveUp: Lifetime): Promise<Entered> {
  const entry = Entry.of(session, put.key);
  return entry.inTurn(async () => {
    const attempts = { isUnsettled: false };
    try {
      const { own, found } = await putOnce(session, put, giveUp, attempts);
      const isNew = entry.own?.revision !== own.revision;
      entry.own = own;
      return { own, isNew, found };
    } catch (error) {
      throw leaseIsGone(error) ?? error;
    } finally {
      if (attempts.isUnsettled) deleteCopies(session, put.key, entry);
    }
  });
}

/** Each attempt is guarded by the key's last change: one of them is executed, and a late copy changes nothing while the key exists. */
async function putOnce(
  session: Session,
  { key, value, also = [], looks = [] }: Put,
  giveUp: Lifetime,
  attempts: { isUnsettled: boolean },
): Promise<{ own: Own; found: TxnResponseOp[] }> {
  const steps = new Steps(session.core, session.lifetime);
  const bytes = toBuffer(value);
  const reads = [getOp(key), ...looks];
  const then = [...also, putOp(key, bytes, { lease: session.lease }), ...reads];
  // The key's mod revision: there is no key, as far as is known.
  let changed = 0n;
  for (;;) {
    const txn = { if: [compare(key, 'modRevision', '=', changed)], then, else: reads };
    const { succeeded, responses } = await steps.persist(() => {
      giveUp.check();
      return steps.txn(txn, attempts);
    });
    const [present, ...found] = responses.slice(-reads.length);
    const kv = present?.kvs[0];
    // After a refusal, its own value is that of an attempt whose answer was lost, or of a late copy. Any other is replaced.
    const isEntered = succeeded || (kv?.lease === session.lease && kv.value.equals(bytes));
    if (kv !== undefined && isEntered) return { own: { key, revision: kv.createRevision, changed: kv.modRevision }, found };
    changed = kv?.modRevision ?? 0n;
  }
}

/** Deletes what the session does not hold at its key, from now until it ends. */
function deleteCopies(session: Session, key: string, entry: Entry): void {
  if (entry.isWatched) return;
  entry.isWatched = true;
  const look = async (revision: bigint) => {
    if (entry.own?.revision !== revision) await deleteOwn(session, { key, revision });
  };
  // In turn: a contender that enters may have found the key, and then holds it.
  const watching = watchCopies(session, key, (kv) => entry.inTurn(() => look(kv.createRevision)));
  void watching.then(() => (entry.isWatched = false));
}

/** Deletes a key of the session. One that is gone, or was replaced by another session, stays as it is. */
export function leave(session: Session, own: Own, also: readonly RequestOp[] = []): Promise<TxnResult> {
  const entry = Entry.of(session, own.key);
  return entry.inTurn(async () => {
    const result = await deleteOwn(session, own, also);
    if (entry.own?.revision === own.revision) entry.own = undefined;
    return result;
  });
}

/** Deletes a key that has the session's lease. A copy of this that is executed late cannot hit a later key. */
export function deleteOwn(
  session: Session,
  { key, revision }: Pick<Own, 'key' | 'revision'>,
  also: readonly RequestOp[] = [],
): Promise<TxnResult> {
  const steps = new Steps(session.core, session.lifetime);
  return steps.repeat({ if: isOwn(session, key, revision), then: [...also, deleteOp(key)] });
}

/** Conditions that hold while a key is the session's. A session that replaces another one's key keeps its create revision. */
export function isOwn(session: Session, key: string, revision: bigint): Compare[] {
  return [owner(key, revision), compare(key, 'lease', '=', session.lease)];
}
