import type { Client } from '../client.js';
import { invalid } from '../errors.js';
import type { KeyValue } from '../gen/etcd/kv.js';
import { type Bytes, toKey } from '../keys.js';
import { compare, putOp } from '../kv.js';
import type { WaitOptions } from '../scope.js';
import { inClient, withDeadline } from './place.js';
import { ConflictPause, Steps } from './steps.js';

/**
 * Replaces a key's value by what `next` makes of the present one, if it is still the present one then; otherwise asks again.
 * `undefined` leaves it as it is. Returns the revision of the write. An answer that was lost is not asked for again: `maybe`.
 */
export function update(
  client: Client,
  key: string,
  next: (kv: KeyValue | undefined) => Bytes | undefined,
  options: WaitOptions,
): Promise<bigint | undefined> {
  const { core } = client;
  return inClient(core, `updating ${key}`, withDeadline(core, options), async (scope) => {
    const steps = new Steps(core, scope);
    const pause = new ConflictPause(scope);
    for (;;) {
      const [kv] = (await steps.persist(() => steps.list(key))).kvs;
      const value = next(kv);
      if (value === undefined) return undefined;
      const isUnchanged = compare(toKey(key), 'modRevision', '=', kv?.modRevision ?? 0n);
      const { succeeded, revision } = await steps.txn({ if: [isUnchanged], then: [putOp(key, value, { keepLease: kv !== undefined })] });
      if (succeeded) return revision;
      await pause.wait();
    }
  });
}

/** Reads a signed decimal number. */
export function toNumber(kv: KeyValue | undefined): bigint {
  const text = kv?.value.toString() ?? '0';
  if (!/^-?\d+$/.test(text)) throw invalid(`the value of ${kv?.key.toString() ?? ''} is no decimal number`);
  return BigInt(text);
}
