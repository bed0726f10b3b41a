import { createRequire } from 'node:module';
import { Etcd3, EtcdLockFailedError } from 'etcd3';
import { type Library, main } from '../bench.js';

const { version } = createRequire(import.meta.url)('etcd3/package.json') as { version: string };

function open(endpoint: string): Library {
  const client = new Etcd3({ hosts: endpoint });
  return {
    name: `etcd3 ${version}`,
    get: (key) => client.get(key).exec(),
    put: (key, value) => client.put(key).value(value).exec(),
    count: async (prefix) => (await client.getAll().prefix(prefix).keys()).length,
    async watch(key, onEvent) {
      // An error of the watch has no listener, so it ends the process.
      const watcher = await client.watch().key(key).create();
      watcher.on('put', onEvent).on('delete', onEvent);
    },
    contender(name) {
      return Promise.resolve({
        async lock() {
          // A lock of this library does not wait: `acquire` fails if the mutex is held, and revokes the lease that it had granted.
          for (;;) {
            const lock = client.lock(name);
            try {
              await lock.acquire();
              return () => lock.release();
            } catch (error) {
              if (!(error instanceof EtcdLockFailedError)) throw error;
            }
          }
        },
        // Each lock has a lease of its own, which ended with it.
        close: () => Promise.resolve(),
      });
    },
    close() {
      client.close();
      return Promise.resolve();
    },
  };
}

await main(open);
