import type { Client } from '../client.js';
import { isConclaveError } from '../errors.js';
import type { Compare, RequestOp } from '../gen/etcd/rpc.js';
import { type Bytes, toBuffer, toKey } from '../keys.js';
import { compare, deleteOp, putOp } from '../kv.js';
import type { WaitOptions } from '../scope.js';
import { inClient, withDeadline } from './place.js';
import { ConflictPause, Steps } from './steps.js';

/** The reads and writes of a transaction's function. */
export class StmView {
  readonly #steps: Steps;
  readonly #reads = new Map<string, { readonly value: Buffer | undefined; readonly modRevision: bigint }>();
  readonly #writes = new Map<string, Buffer | undefined>();
  #revision = 0n;

  /** @internal */
  constructor(steps: Steps) {
    this.#steps = steps;
  }

  /** A key's value, with the writes of this transaction; `undefined` if it does not exist. All reads are of one revision. */
  async get(key: Bytes): Promise<Buffer | undefined> {
    const id = toKey(key).toString('latin1');
    if (this.#writes.has(id)) return this.#writes.get(id);
    const known = this.#reads.get(id);
    if (known !== undefined) return known.value;
    const { kvs, revision } = await this.#steps.persist(() => this.#steps.list(key, { revision: this.#revision }));
    if (this.#revision === 0n) this.#revision = revision;
    const [kv] = kvs;
    this.#reads.set(id, { value: kv?.value, modRevision: kv?.modRevision ?? 0n });
    return kv?.value;
  }

  /** Writes when the transaction is committed. */
  put(key: Bytes, value: Bytes): void {
    this.#writes.set(toKey(key).toString('latin1'), Buffer.from(toBuffer(value)));
  }

  /** Deletes when the transaction is committed. */
  delete(key: Bytes): void {
    this.#writes.set(toKey(key).toString('latin1'), undefined);
  }

  /** The transaction that commits the writes if nothing of what was read has changed. @internal */
  toTxn(): { if: Compare[]; then: RequestOp[] } {
    const bytes = (id: string) => Buffer.from(id, 'latin1');
    return {
      if: [...this.#reads].map(([id, { modRevision }]) => compare(bytes(id), 'modRevision', '=', modRevision)),
      then: [...this.#writes].map(([id, value]) => (value === undefined ? deleteOp(bytes(id)) : putOp(bytes(id), value))),
    };
  }
}

/**
 * Software transactional memory (K16): runs the function, and commits its writes if what it read is unchanged, else runs it again. It
 * should do nothing but read and write through the view. If the answer to the commit is lost, this fails with `maybe`.
 */
export async function stm<T>(client: Client, run: (view: StmView) => T | Promise<T>, options: WaitOptions = {}): Promise<T> {
  const { core } = client;
  return await inClient(core, 'a transaction', withDeadline(core, options), async (scope) => {
    const steps = new Steps(core, scope);
    const pause = new ConflictPause(scope);
    for (;;) {
      const view = new StmView(steps);
      try {
        const result = await scope.wait(Promise.resolve(run(view)));
        if ((await steps.txn(view.toTxn())).succeeded) return result;
      } catch (error) {
        // The revision that the first read has seen may be compacted when another one asks for it.
        if (!isConclaveError(error, 'api') || error.apiName !== 'Compacted') throw error;
      }
      await pause.wait();
    }
  });
}
