import { Attempts } from '../calls.js';
import type { Compare, RequestOp } from '../gen/etcd/rpc.js';
import type { Bytes } from '../keys.js';
import { type KeyValue, type TxnResponseOp, type TxnResult, compare, deleteOp, getOp, owner, putOp } from '../kv.js';
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
  /** A value of the session's key that stays: others have asked the owner for something by it. */
  readonly keeps?: string | undefined;
  /** Operations that go with the put. */
  readonly also?: readonly RequestOp[];
  /** Reads after the put. */
  readonly looks?: readonly RequestOp[];
}

/** Result of entering. */
export interface Entered {
  readonly own: Own;
  /** The key as the session had it before, if it is the same one. */
  readonly former: Own | undefined;
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

/** Puts a key of the session. An attempt that was sent is not cancelled, so that a deletion comes after it. */
export function enter(session: Session, put: Put, attempts: Attempts): Promise<Entered> {
  const entry = Entry.of(session, put.key);
  return entry.inTurn(async () => {
    try {
      const { own, found } = await putOnce(session, put, attempts);
      const former = entry.own?.revision === own.revision ? entry.own : undefined;
      entry.own = own;
      return { own, former, found };
    } catch (error) {
      throw leaseIsGone(error) ?? error;
    } finally {
      if (attempts.isUnsettled) deleteCopies(session, put.key, entry);
    }
  });
}

/**
 * Each attempt is guarded by the key's last change: one of them is executed, and a late copy changes nothing while the key exists.
 * A key that is the session's own is put once more, because a former deletion of it may still be executed. The put changes the
 * key's mod revision, by which that deletion is guarded.
 */
async function putOnce(
  session: Session,
  { key, value, keeps, also = [], looks = [] }: Put,
  attempts: Attempts,
): Promise<{ own: Own; found: TxnResponseOp[] }> {
  const steps = new Steps(session.core, session.lifetime);
  const { lease } = session;
  const reads = [getOp(key), ...looks];
  let put = putOp(key, value, { lease });
  // The key's mod revision: there is no key, as far as is known.
  let changed = 0n;
  for (;;) {
    const txn = { if: [compare(key, 'modRevision', '=', changed)], then: [...also, put, ...reads], else: reads };
    const { succeeded, responses } = await steps.repeat(txn, attempts);
    const [present, ...found] = responses.slice(-reads.length);
    const kv = present?.kvs[0];
    if (succeeded && kv !== undefined) return { own: { key, revision: kv.createRevision, changed: kv.modRevision }, found };
    changed = kv?.modRevision ?? 0n;
    const isKept = kv?.lease === lease && kv.value.toString() === keeps;
    put = isKept ? putOp(key, '', { lease, keepValue: true }) : putOp(key, value, { lease });
  }
}

/** Deletes what the session does not hold at its key, from now until it ends. */
function deleteCopies(session: Session, key: string, entry: Entry): void {
  if (entry.isWatched) return;
  entry.isWatched = true;
  const look = async ({ createRevision: revision, modRevision: changed }: KeyValue) => {
    if (entry.own?.revision !== revision) await deleteOwn(session, { key, revision, changed });
  };
  // In turn: a contender that enters may have found the key, and then holds it.
  const watching = watchCopies(session, key, async (kv) => {
    if (kv !== undefined) await entry.inTurn(() => look(kv));
    return false;
  });
  void watching.then(() => (entry.isWatched = false));
}

/**
 * Deletes a key of the session. One that is gone, or was replaced by another session, stays as it is. Returns `undefined` if the
 * session has left it before or has entered again since then: a later handle has the key then.
 */
export function leave(
  session: Session,
  own: Own,
  attempts = new Attempts(),
  also: readonly RequestOp[] = [],
): Promise<TxnResult | undefined> {
  const entry = Entry.of(session, own.key);
  return entry.inTurn(async () => {
    if (entry.own !== own) return undefined;
    const result = await deleteOwn(session, own, attempts, also);
    entry.own = undefined;
    return result;
  });
}

/** Undoes an entering that was given up. A former handle of the same key has the key again. */
export function withdraw(session: Session, { own, former }: Entered): Promise<unknown> {
  if (former === undefined) return leave(session, own);
  const entry = Entry.of(session, own.key);
  return entry.inTurn(() => {
    if (entry.own === own) {
      former.changed = own.changed;
      entry.own = former;
    }
    return Promise.resolve();
  });
}

/**
 * Deletes a key that has the session's lease. Each attempt is guarded by the key's last change, so that one which is executed late
 * hits neither a later key nor this one after it was put again.
 */
export async function deleteOwn(
  session: Session,
  own: Own,
  attempts = new Attempts(),
  also: readonly RequestOp[] = [],
): Promise<TxnResult> {
  const steps = new Steps(session.core, session.lifetime);
  for (;;) {
    const txn = { if: isUnchanged(session, own), then: [...also, deleteOp(own.key)], else: [getOp(own.key)] };
    const result = await steps.repeat(txn, attempts);
    if (result.succeeded || !isStillOwn(session, own, result.responses[0]?.kvs[0])) return result;
  }
}

/**
 * Conditions that hold while a key is the session's and nothing has changed it. Sessions that replace each other's key keep its
 * create revision.
 */
export function isUnchanged(session: Session, { key, revision, changed }: Own): Compare[] {
  return [owner(key, revision), compare(key, 'lease', '=', session.lease), compare(key, 'modRevision', '=', changed)];
}

/** Whether a key that was read is the session's, with another last change, which is noted. */
export function isStillOwn(session: Session, own: Own, kv: KeyValue | undefined): kv is KeyValue {
  if (kv?.createRevision !== own.revision || kv.lease !== session.lease) return false;
  own.changed = kv.modRevision;
  return true;
}
