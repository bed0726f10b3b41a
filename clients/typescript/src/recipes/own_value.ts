import { closed, sessionLost } from '../errors.js';
import { type Bytes, toBuffer } from '../keys.js';
import { compare, getOp, putOp } from '../kv.js';
import { Lifetime, Scope, type WaitOptions } from '../scope.js';
import type { Session } from '../session.js';
import { type Entered, type Own, type Put, enter, isOwn, leave } from './entry.js';
import { CLEANUP_MS, inSession, withDeadline } from './place.js';
import { Steps, leaseIsGone, mayHaveHappened } from './steps.js';

/** Puts a key of the session, and goes on with it. If that fails or is given up, the key is deleted. */
export async function withKey<T>(
  session: Session,
  what: string,
  put: Put,
  options: WaitOptions,
  use: (own: Own, scope: Scope) => T | Promise<T>,
): Promise<T> {
  const giveUp = new Lifetime();
  let entering: Promise<Entered> | undefined;
  try {
    return await inSession(session, what, options, async (scope) => {
      entering = enter(session, put, giveUp);
      return await use((await scope.wait(entering)).own, scope);
    });
  } catch (error) {
    giveUp.end(closed('place'));
    const withdrawn = entering?.then(({ own, isNew }) => (isNew ? leave(session, own) : undefined));
    using scope = new Scope('giving up', { timeoutMs: CLEANUP_MS });
    await scope.wait(Promise.resolve(withdrawn)).catch(() => undefined);
    throw error;
  }
}

/** Replaces the value of the session's key. Each attempt is guarded by the last change, so that a late one undoes nothing (R8). */
export async function setValue(session: Session, own: Own, value: Bytes, options: WaitOptions): Promise<void> {
  const { key, revision } = own;
  const bytes = toBuffer(value);
  const attempts = { isUnsettled: false };
  const set = async (steps: Steps) => {
    for (;;) {
      const guards = [...isOwn(session, key, revision), compare(key, 'modRevision', '=', own.changed)];
      const put = putOp(key, bytes, { lease: session.lease });
      const result = await steps.repeat({ if: guards, then: [put], else: [getOp(key)] }, attempts);
      if (result.succeeded) {
        own.changed = result.revision;
        return;
      }
      const kv = result.responses[0]?.kvs[0];
      if (kv?.createRevision !== revision || kv.lease !== session.lease) throw sessionLost('its key is gone, or another one has it');
      own.changed = kv.modRevision;
      // An attempt whose answer was lost.
      if (kv.value.equals(bytes)) return;
    }
  };
  try {
    const limit = withDeadline(session.core, options);
    await inSession(session, `writing ${key}`, limit, (scope) => set(new Steps(session.core, scope)));
  } catch (error) {
    throw leaseIsGone(error) ?? (attempts.isUnsettled ? mayHaveHappened(error) : error);
  }
}
