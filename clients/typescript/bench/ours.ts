import { createRequire } from 'node:module';
import { Client, Mutex, type Watch } from '@conclave/client';
import { type Library, main } from './bench.js';

const { version } = createRequire(import.meta.url)('@conclave/client/package.json') as { version: string };

function open(endpoint: string): Library {
  const client = new Client({ endpoints: [endpoint] });
  const watches: Watch[] = [];
  return {
    name: `@conclave/client ${version}`,
    get: (key) => client.get(key),
    put: (key, value) => client.put(key, value),
    count: async (prefix) => Number((await client.list({ prefix }, { keysOnly: true })).count),
    async watch(key, onEvent) {
      const watch = await client.watch(key);
      watches.push(watch);
      const consume = async () => {
        for await (const { events } of watch) for (const _ of events) onEvent();
      };
      // An error of the watch is an unhandled rejection, which ends the process.
      void consume();
    },
    async contender(name) {
      const session = await client.session();
      const mutex = new Mutex(session, name);
      return {
        async lock() {
          const lock = await mutex.lock();
          return () => lock.unlock();
        },
        close: () => session.close(),
      };
    },
    async close() {
      // A watch that its client ends fails with `closed`; one that is closed itself just ends.
      for (const watch of watches) watch.close();
      await client.close();
    },
  };
}

await main(open);
