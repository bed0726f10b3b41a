import { Attempts } from '../calls.js';
import { sessionLost } from '../errors.js';
import { type Bytes, toBuffer } from '../keys.js';
import { putOp } from '../kv.js';
import type { WaitOptions } from '../scope.js';
import type { Session } from '../session.js';
import { Mutex } from './mutex.js';
import { inSession } from './place.js';
import { Steps, mayHaveHappened, toName } from './steps.js';

/** Result of a job that is run once. */
export interface OnceResult {
  readonly value: Buffer;
  /** Whether this call ran the job. */
  readonly ran: boolean;
}

/**
 * Runs a job once among all who ask (K17): the first runs it under a mutex, and all get its result. If it throws, or its session is
 * lost before the result is written, another one runs it.
 */
export async function once(
  session: Session,
  name: string,
  job: (signal: AbortSignal) => Promise<Bytes> | Bytes,
  options: WaitOptions = {},
): Promise<OnceResult> {
  const done = `${toName(name)}/done`;
  return await inSession(session, `waiting for the job ${name}`, options, async (scope) => {
    const steps = new Steps(session.core, scope);
    const find = async () => (await steps.persist(() => steps.list(done))).kvs[0]?.value;
    const before = await find();
    if (before !== undefined) return { value: before, ran: false };
    const attempts = new Attempts();
    const stop = new AbortController();
    const removeListener = scope.onEnd((reason) => stop.abort(reason));
    await using lock = await new Mutex(session, `${name}/lock`).lock({ signal: stop.signal });
    try {
      const meanwhile = await find();
      if (meanwhile !== undefined) return { value: meanwhile, ran: false };
      const value = toBuffer(await scope.wait(Promise.resolve(job(lock.lost))));
      const write = { if: [lock.owner], then: [putOp(done, value)] };
      const { succeeded } = await steps.repeat(write, attempts);
      if (!succeeded) throw sessionLost('the lock of the job was lost before its result was written');
      return { value, ran: true };
    } catch (error) {
      // The result has no lease: it stays when the session is lost.
      throw attempts.mayHaveHappened ? mayHaveHappened(error) : error;
    } finally {
      removeListener();
    }
  });
}
