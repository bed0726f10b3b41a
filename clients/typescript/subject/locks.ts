import { type Client, type Lock, Mutex, type Session } from '@conclave/client';
import { type Args, type Context, type Json, type Operations, object, text } from './protocol.js';

/** Keeps a lock under its name, and reports its end and requests to give it up. */
export function keep(lock: Lock | undefined, args: Args, context: Context): Json {
  if (lock === undefined) return { held: false };
  const as = text(args, 'as');
  context.objects.set(as, lock);
  lock.onLost(() => context.emit(as, { type: 'lost' }));
  lock.onRevoke(() => context.emit(as, { type: 'revoke' }));
  return { token: lock.token, key: lock.key, held: lock.isHeld };
}

export const locks: Operations = {
  'mutex.lock': async (args, context) => {
    const mutex = new Mutex(object<Session>(args, context, 'session'), text(args, 'name'));
    const lock = args.try === true ? await mutex.tryLock(context.wait) : await mutex.lock(context.wait);
    return keep(lock, args, context);
  },
  'mutex.state': (args, context) => {
    const lock = object<Lock>(args, context, 'mutex');
    return { held: lock.isHeld, token: lock.token };
  },
  'mutex.unlock': async (args, context) => {
    await object<Lock>(args, context, 'mutex').unlock(context.wait);
    return undefined;
  },
  'mutex.contenders': async (args, context) => ({
    keys: await Mutex.contenders(object<Client>(args, context, 'client'), text(args, 'name'), context.wait),
  }),
  'mutex.revoke': async (args, context) => ({
    asked: await Mutex.revoke(object<Client>(args, context, 'client'), text(args, 'name'), context.wait),
  }),
};
