import { Cache, type Client, Counter, Discovery, Group, type Item, type Membership, Queue, type Session, Value, stm } from '@conclave/client';
import { type Args, type Context, type Operations, number, object, text } from './protocol.js';

const client = (args: Args, context: Context) => object<Client>(args, context, 'client');
const session = (args: Args, context: Context) => object<Session>(args, context, 'session');

export const data: Operations = {
  'queue.put': async (args, context) => {
    const priority = args.priority === undefined ? undefined : number(args, 'priority');
    const delayMs = args.delay === undefined ? undefined : number(args, 'delay') * 1000;
    await new Queue(client(args, context), text(args, 'name')).put(text(args, 'value'), { ...context.wait, priority, delayMs });
    return undefined;
  },
  'queue.take': async (args, context) => {
    const taker = session(args, context);
    const item = await new Queue(taker.client, text(args, 'name')).take(taker, context.wait);
    context.objects.set(text(args, 'as'), item);
    return { value: item.value.toString() };
  },
  'queue.ack': async (args, context) => ({ done: await object<Item>(args, context, 'item').ack(context.wait) }),
  'queue.release': async (args, context) => ({ done: await object<Item>(args, context, 'item').release(context.wait) }),
  'counter.add': async (args, context) => ({
    value: await new Counter(client(args, context), text(args, 'name')).add(number(args, 'delta'), context.wait),
  }),
  'counter.get': async (args, context) => ({
    value: await new Counter(client(args, context), text(args, 'name')).get(context.wait),
  }),
  'value.get': async (args, context) => {
    const value = await new Value(client(args, context), text(args, 'name')).get(context.wait);
    return { found: value !== undefined, value: value?.value.toString() ?? '', revision: value?.revision ?? 0 };
  },
  'value.compare_and_set': async (args, context) => {
    const value = new Value(client(args, context), text(args, 'name'));
    const revision = await value.compareAndSet(BigInt(number(args, 'revision')), text(args, 'value'), context.wait);
    return { swapped: revision !== undefined, revision: revision ?? 0 };
  },
  'group.join': async (args, context) => {
    const member = session(args, context);
    const group = new Group(member.client, text(args, 'name'));
    context.objects.set(text(args, 'as'), await group.join(member, text(args, 'member'), text(args, 'value'), context.wait));
    return undefined;
  },
  'group.leave': async (args, context) => {
    await object<Membership>(args, context, 'group').leave(context.wait);
    return undefined;
  },
  'group.members': async (args, context) => {
    const members = await new Group(client(args, context), text(args, 'name')).members(context.wait);
    return { members: Object.fromEntries([...members].map(([member, value]) => [member, value.toString()])) };
  },
  'service.register': async (args, context) => {
    const owner = session(args, context);
    const discovery = new Discovery(owner.client);
    const registered = await discovery.register(owner, text(args, 'service'), text(args, 'address'), context.wait);
    context.objects.set(text(args, 'as'), registered);
    return undefined;
  },
  'service.list': async (args, context) => {
    const addresses = await new Discovery(client(args, context)).list(text(args, 'service'), context.wait);
    return { addresses: addresses.map(({ address }) => address) };
  },
  'cache.open': async (args, context) => {
    const as = text(args, 'as');
    const cache = await Cache.open(client(args, context), { prefix: text(args, 'prefix') }, context.wait);
    context.objects.set(as, cache);
    cache.listen(({ type, key, kv }) => context.emit(as, { type, key: key.toString(), value: kv?.value.toString() ?? '' }));
    return { revision: cache.revision };
  },
  'cache.get': async (args, context) => {
    const atLeast = args.at_least === undefined ? undefined : BigInt(number(args, 'at_least'));
    const kv = await object<Cache>(args, context, 'cache').get(text(args, 'key'), { ...context.wait, atLeast });
    return { found: kv !== undefined, value: kv?.value.toString() ?? '' };
  },
  'cache.list': (args, context) => {
    const kvs = object<Cache>(args, context, 'cache').list();
    return { kvs: Object.fromEntries(kvs.map(({ key, value }) => [key.toString(), value.toString()])) };
  },
  'cache.close': async (args, context) => {
    await object<Cache>(args, context, 'cache').close();
    return undefined;
  },
  'stm.transfer': async (args, context) => {
    const [from, to, amount] = [text(args, 'from'), text(args, 'to'), BigInt(number(args, 'amount'))];
    return await stm(
      client(args, context),
      async (view) => {
        const read = async (key: string) => BigInt((await view.get(key))?.toString() ?? '0');
        const left = (await read(from)) - amount;
        view.put(from, String(left));
        const right = (await read(to)) + amount;
        view.put(to, String(right));
        return { from: left, to: right };
      },
      context.wait,
    );
  },
};
