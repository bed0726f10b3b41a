import { Attempts } from '../calls.js';
import { closed, sessionLost } from '../errors.js';
import { type Bytes, toBuffer } from '../keys.js';
import { getOp, putOp } from '../kv.js';
import { Lifetime, Scope, type WaitOptions } from '../scope.js';
import type { Session } from '../session.js';
import { type Entered, type Own, type Put, enter, isStillOwn, isUnchanged, withdraw } from './entry.js';
import { CLEANUP_MS, inSession, withDeadline } from './place.js';
import { Steps, outcome } from './steps.js';

/** Puts a key of the session, and goes on with it. If that fails or is given up, the key is deleted, and it fails as `failed` says. */
export async function withKey<T>(
  session: Session,
  what: string,
  put: Put,
  options: WaitOptions,
  use: (own: Own, scope: Scope) => T | Promise<T>,
  failed: (error: unknown, attempts: Attempts) => unknown = (error) => error,
): Promise<T> {
  const giveUp = new Lifetime();
  const attempts = new Attempts(giveUp);
  let entering: Promise<Entered> | undefined;
  try {
    return await inSession(session, what, options, async (scope) => {
      entering = enter(session, put, attempts);
      return await use((await scope.wait(entering)).own, scope);
    });
  } catch (error) {
    // What the attempts are when this fails, not after the withdrawal.
    const failure = failed(error, attempts);
    giveUp.end(closed('place'));
    const withdrawn = entering?.then((entered) => withdraw(session, entered));
    using scope = new Scope('giving up', { timeoutMs: CLEANUP_MS });
    await scope.wait(Promise.resolve(withdrawn)).catch(() => undefined);
    throw failure;
  }
}

/** Replaces the value of the session's key. Each attempt is guarded by the last change, so that a late one undoes nothing (R8). */
export async function setValue(session: Session, own: Own, value: Bytes, options: WaitOptions): Promise<void> {
  const { key } = own;
  const bytes = toBuffer(value);
  const attempts = new Attempts();
  const set = async (steps: Steps) => {
    for (;;) {
      const put = putOp(key, bytes, { lease: session.lease });
      const result = await steps.repeat({ if: isUnchanged(session, own), then: [put], else: [getOp(key)] }, attempts);
      if (result.succeeded) {
        own.changed = result.revision;
        return;
      }
      const kv = result.responses[0]?.kvs[0];
      if (!isStillOwn(session, own, kv)) throw sessionLost('its key is gone, or another one has it');
      // An attempt whose answer was lost.
      if (kv.value.equals(bytes)) return;
    }
  };
  try {
    const limit = withDeadline(session.core, options);
    await inSession(session, `writing ${key}`, limit, (scope) => set(new Steps(session.core, scope)));
  } catch (error) {
    throw outcome(error, attempts);
  }
}
