import type { Client, Session } from '@conclave/client';
import { type Operations, number, object, text } from './protocol.js';

export const sessions: Operations = {
  'session.open': async (args, context) => {
    const client = object<Client>(args, context, 'client');
    const as = text(args, 'as');
    const session = await client.session({ ...context.wait, ttlSeconds: number(args, 'ttl', 10) });
    context.objects.set(as, session);
    session.onState((state) => context.emit(as, { type: 'state', state }));
    return { lease: session.leaseHex };
  },
  'session.state': (args, context) => ({ state: object<Session>(args, context, 'session').state }),
  'session.close': async (args, context) => {
    await object<Session>(args, context, 'session').close(context.wait);
    return undefined;
  },
};
