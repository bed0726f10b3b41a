import { Barrier, type Client, DoubleBarrier, Latch, type Lock, RwLock, Semaphore, type Session, once } from '@conclave/client';
import { keep } from './locks.js';
import { type Args, type Context, type Operations, number, object, text } from './protocol.js';

const client = (args: Args, context: Context) => object<Client>(args, context, 'client');
const session = (args: Args, context: Context) => object<Session>(args, context, 'session');
const barrier = (args: Args, context: Context) => new Barrier(client(args, context), text(args, 'name'));
const latch = (args: Args, context: Context) => new Latch(client(args, context), text(args, 'name'));
const doubleBarrier = (args: Args, context: Context) =>
  new DoubleBarrier(session(args, context), text(args, 'name'), number(args, 'count'));

export const coordination: Operations = {
  'rwlock.read': async (args, context) => {
    const lock = new RwLock(session(args, context), text(args, 'name'));
    return keep(args.try === true ? await lock.tryRead(context.wait) : await lock.read(context.wait), args, context);
  },
  'rwlock.write': async (args, context) => {
    const lock = new RwLock(session(args, context), text(args, 'name'));
    return keep(args.try === true ? await lock.tryWrite(context.wait) : await lock.write(context.wait), args, context);
  },
  'rwlock.unlock': async (args, context) => {
    await object<Lock>(args, context, 'rwlock').unlock(context.wait);
    return undefined;
  },
  'semaphore.acquire': async (args, context) => {
    const semaphore = new Semaphore(session(args, context), text(args, 'name'), number(args, 'permits'));
    return keep(args.try === true ? await semaphore.tryAcquire(context.wait) : await semaphore.acquire(context.wait), args, context);
  },
  'semaphore.release': async (args, context) => {
    await object<Lock>(args, context, 'semaphore').unlock(context.wait);
    return undefined;
  },
  'barrier.hold': async (args, context) => {
    await barrier(args, context).hold(context.wait);
    return undefined;
  },
  'barrier.release': async (args, context) => {
    await barrier(args, context).release(context.wait);
    return undefined;
  },
  'barrier.wait': async (args, context) => {
    await barrier(args, context).wait(context.wait);
    return undefined;
  },
  'double_barrier.enter': async (args, context) => {
    await doubleBarrier(args, context).enter(context.wait);
    return undefined;
  },
  'double_barrier.leave': async (args, context) => {
    await doubleBarrier(args, context).leave(context.wait);
    return undefined;
  },
  'latch.create': async (args, context) => ({ created: await latch(args, context).create(number(args, 'count'), context.wait) }),
  'latch.count_down': async (args, context) => ({ count: await latch(args, context).countDown(context.wait) }),
  'latch.wait': async (args, context) => {
    await latch(args, context).wait(context.wait);
    return undefined;
  },
  'once.run': async (args, context) => {
    const { value, ran } = await once(session(args, context), text(args, 'name'), () => text(args, 'value'), context.wait);
    return { value: value.toString(), ran };
  },
};
