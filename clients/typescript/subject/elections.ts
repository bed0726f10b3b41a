import { type Client, Election, type Leadership, type Session } from '@conclave/client';
import { type Operations, object, text } from './protocol.js';

export const elections: Operations = {
  'election.campaign': async (args, context) => {
    const election = new Election(object<Session>(args, context, 'session'), text(args, 'name'));
    const leadership = await election.campaign(text(args, 'value'), context.wait);
    const as = text(args, 'as');
    context.objects.set(as, leadership);
    leadership.onLost(() => context.emit(as, { type: 'lost' }));
    return { token: leadership.token, key: leadership.key };
  },
  'election.proclaim': async (args, context) => {
    await object<Leadership>(args, context, 'election').proclaim(text(args, 'value'), context.wait);
    return undefined;
  },
  'election.resign': async (args, context) => {
    await object<Leadership>(args, context, 'election').resign(context.wait);
    return undefined;
  },
  'election.leader': async (args, context) => {
    const leader = await Election.leader(object<Client>(args, context, 'client'), text(args, 'name'), context.wait);
    return { found: leader !== undefined, value: leader?.value.toString() ?? '', token: leader?.token ?? 0 };
  },
  'election.observe': (args, context) => {
    const stop = new AbortController();
    const as = text(args, 'as');
    const leaders = Election.observe(object<Client>(args, context, 'client'), text(args, 'name'), { signal: stop.signal });
    context.objects.set(as, stop);
    const report = async () => {
      for await (const { value, token } of leaders) context.emit(as, { type: 'leader', value: value.toString(), token });
    };
    report().catch((error: unknown) => console.error('observe', error));
    return undefined;
  },
  'observe.close': (args, context) => {
    object<AbortController>(args, context, 'observe').abort();
    return undefined;
  },
  'election.contenders': async (args, context) => {
    const values = await Election.contenders(object<Client>(args, context, 'client'), text(args, 'name'), context.wait);
    return { values: values.map(String) };
  },
};
