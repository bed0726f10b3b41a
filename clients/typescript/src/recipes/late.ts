import type { KeyValue } from '../gen/etcd/kv.js';
import type { Session } from '../session.js';
import { Table } from './follow.js';
import { Steps } from './steps.js';

/**
 * Looks at a key, and at its every change (R8). A put of the key that hung in a connection may be executed long after it was sent
 * again, when the key was deleted: then the key exists again, and nobody knows of it. No condition prevents that, because the store
 * keeps nothing of a deleted key.
 *
 * `look` gets the key if it has the session's lease, and `undefined` otherwise. Ends when `look` returns true, with the session, or
 * when the user may no longer read or write the key. Never rejects.
 */
export async function watchCopies(
  session: Session,
  key: string,
  look: (kv: KeyValue | undefined) => Promise<boolean>,
): Promise<void> {
  const steps = new Steps(session.core, session.lifetime);
  try {
    for await (const { changes } of new Table().follow(steps, key)) {
      const kvs = changes.length === 0 ? [undefined] : changes.map(({ kv }) => kv);
      for (const kv of kvs) if (await look(kv?.lease === session.lease ? kv : undefined)) return;
    }
  } catch {
    // The keys of a session go with it.
  }
}
