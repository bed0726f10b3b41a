import { Client, type Watch, compare, deleteOp, getOp, leftovers, owner, putOp } from '@conclave/client';
import { type Args, type Context, type Json, type Operations, errorOf, number, object, text } from './protocol.js';

const client = (args: Args, context: Context) => object<Client>(args, context, 'client');

interface Condition { key: string; target: string; is: '=' | '!=' | '<' | '>'; than: unknown }
interface Step { put?: { key: string; value: string }; delete?: { key: string }; get?: { key: string } }

const TARGETS = { create_revision: 'createRevision', mod_revision: 'modRevision', version: 'version' } as const;

function condition({ key, target, is, than }: Condition) {
  if (target === 'value') return compare(key, 'value', is, String(than));
  return compare(key, TARGETS[target as keyof typeof TARGETS], is, BigInt(than as number));
}

function step(step: Step) {
  if (step.put !== undefined) return putOp(step.put.key, step.put.value);
  return step.delete === undefined ? getOp(step.get?.key ?? '') : deleteOp(step.delete.key);
}

/** Reports what a watch delivers until it ends. */
async function report(watch: Watch, on: string, context: Context): Promise<void> {
  try {
    for await (const { events } of watch) {
      for (const { type, key, value, revision } of events) {
        context.emit(on, { type, key: key.toString(), value: value.toString(), revision });
      }
    }
    context.emit(on, { type: 'end' });
  } catch (error) {
    context.emit(on, { type: 'end', error: errorOf(error) });
  }
}

function left(): Json {
  // Standard input and output are this program's own, and so is the timer or immediate of this very request.
  const resources = process.getActiveResourcesInfo().filter((name) => !/^(Pipe|TTY|FSReq|Immediate)/.test(name));
  const open = Object.entries(leftovers()).flatMap(([kind, count]) => Array<string>(count).fill(kind));
  const what = [...resources, ...open];
  return { count: what.length, what };
}

export const keys: Operations = {
  'client.open': (args, context) => {
    const [user, password, timeout] = [args.user, args.password, args.timeout];
    const caFile = args.cacert;
    const [certFile, keyFile] = [args.cert, args.key] as (string | undefined)[];
    const opened = new Client({
      endpoints: args.endpoints as string[],
      tls: caFile === undefined ? undefined : { caFile: String(caFile), certFile, keyFile },
      user: user as string | undefined,
      password: password as string | undefined,
      timeoutMs: timeout === undefined ? undefined : number(args, 'timeout') * 1000,
      log: ({ level, message, error }) => console.error(level, message, error ?? ''),
    });
    context.objects.set(text(args, 'as'), opened);
    return undefined;
  },
  'client.close': async (args, context) => {
    await client(args, context).close();
    return undefined;
  },
  leftovers: async () => {
    // Resources that were closed a moment ago may need a turn of the event loop.
    for (let turn = 0; turn < 100 && left().count !== 0; turn += 1) await new Promise((resolve) => setTimeout(resolve, 10));
    return left();
  },
  put: async (args, context) => {
    const lease = args.lease === undefined ? undefined : BigInt.asIntN(64, BigInt(`0x${text(args, 'lease')}`));
    const revision = await client(args, context).put(text(args, 'key'), text(args, 'value'), { ...context.wait, lease });
    return { revision };
  },
  get: async (args, context) => {
    const revision = args.revision === undefined ? undefined : BigInt(number(args, 'revision'));
    const serializable = args.serializable === true;
    const { kv, revision: at } = await client(args, context).get(text(args, 'key'), { ...context.wait, revision, serializable });
    return {
      found: kv !== undefined,
      value: kv?.value.toString() ?? '',
      create_revision: kv?.createRevision ?? 0,
      mod_revision: kv?.modRevision ?? 0,
      revision: at,
    };
  },
  list: async (args, context) => {
    const { kvs, revision } = await client(args, context).list({ prefix: text(args, 'prefix') }, context.wait);
    const rows = kvs.map((kv) => ({
      key: kv.key.toString(),
      value: kv.value.toString(),
      create_revision: kv.createRevision,
      mod_revision: kv.modRevision,
    }));
    return { kvs: rows, revision };
  },
  delete: async (args, context) => ({ ...(await client(args, context).delete(text(args, 'key'), context.wait)) }),
  delete_prefix: async (args, context) => ({
    ...(await client(args, context).delete({ prefix: text(args, 'prefix') }, context.wait)),
  }),
  txn: async (args, context) => {
    const txn = {
      if: ((args.if ?? []) as Condition[]).map(condition),
      then: ((args.then ?? []) as Step[]).map(step),
      else: ((args.else ?? []) as Step[]).map(step),
    };
    const { succeeded, revision } = await client(args, context).txn(txn, context.wait);
    return { succeeded, revision };
  },
  compact: async (args, context) => {
    await client(args, context).compact(BigInt(number(args, 'revision')), context.wait);
    return undefined;
  },
  'watch.open': async (args, context) => {
    const range = args.prefix === undefined ? text(args, 'key') : { prefix: text(args, 'prefix') };
    const from = args.from === undefined ? undefined : BigInt(number(args, 'from'));
    const { signal, timeoutMs } = context.wait;
    const watch = await client(args, context).watch(range, { signal, timeoutMs, from });
    context.objects.set(text(args, 'as'), watch);
    void report(watch, text(args, 'as'), context);
    return { revision: watch.revision };
  },
  'watch.close': (args, context) => {
    object<Watch>(args, context, 'watch').close();
    return undefined;
  },
  'owner.put': async (args, context) => {
    const guard = owner(text(args, 'owner'), BigInt(number(args, 'token')));
    const txn = { if: [guard], then: [putOp(text(args, 'key'), text(args, 'value'))] };
    const { succeeded } = await client(args, context).txn(txn, context.wait);
    return { succeeded };
  },
};
