import { Attempts } from '../calls.js';
import type { Core } from '../core.js';
import { ConclaveError, asError, invalid, isConclaveError, sessionLost } from '../errors.js';
import { KVService } from '../gen/etcd/rpc.js';
import type { Range } from '../keys.js';
import { type ListOptions, type ListResult, type Txn, type TxnResult, isWriteTxn, rangeRequest, toTxnResponse } from '../kv.js';
import { RETRY_FIRST_MS, RETRY_LONGEST_MS } from '../rotation.js';
import { Backoff, type Lifetime } from '../scope.js';
import { Watch, type WatchBatch } from '../watch.js';

/** The calls of a recipe, which end with the recipe's scope. */
export class Steps {
  constructor(
    readonly core: Core,
    readonly scope: Lifetime,
  ) {}

  /** With `attempts`, a write is sent again if its answer is lost. */
  async txn(txn: Txn, attempts?: Attempts): Promise<TxnResult> {
    const request = { compare: [...(txn.if ?? [])], success: [...(txn.then ?? [])], failure: [...(txn.else ?? [])] };
    const answer = await this.core.step({ method: KVService.txn, request, isWrite: isWriteTxn(txn), attempts }, this.scope);
    const { succeeded, header, responses } = answer;
    return { succeeded, revision: header?.revision ?? 0n, responses: responses.map(toTxnResponse) };
  }

  async list(range: Range, options: ListOptions = {}): Promise<ListResult> {
    const call = { method: KVService.range, request: rangeRequest(range, options), isWrite: false };
    const { kvs, count, more, header } = await this.core.step(call, this.scope);
    return { kvs, count, more, revision: header?.revision ?? 0n };
  }

  watch(range: Range, from: bigint): Promise<Watch> {
    return Watch.open(this.core, range, { from }, this.scope);
  }

  /**
   * Repeats an action until it succeeds, or the scope ends, or an error comes that does not pass. The action must have the same
   * effect when it is done twice, because the answer to the first time may have been lost.
   */
  async persist<T>(action: () => Promise<T>): Promise<T> {
    const backoff = new Backoff(RETRY_FIRST_MS, RETRY_LONGEST_MS);
    for (;;) {
      try {
        return await action();
      } catch (error) {
        this.scope.check();
        if (!mayPass(asError(error))) throw error;
      }
      await this.scope.sleep(backoff.next());
    }
  }

  /** Repeats a transaction until it is answered. A copy of it that is executed late must do no harm (R8). */
  repeat(txn: Txn, attempts = new Attempts()): Promise<TxnResult> {
    return this.persist(() => this.txn(txn, attempts));
  }

  /** Waits until something in the range is deleted, at this revision or later. After a compaction it may return too early. */
  async untilDeleted(range: Range, from: bigint): Promise<void> {
    await this.#untilChange(range, from, (batch) => batch.events.some((event) => event.type === 'delete'));
  }

  /** Waits until anything in the range changes, at this revision or later. After a compaction it may return too early. */
  async untilChanged(range: Range, from: bigint): Promise<void> {
    await this.#untilChange(range, from, () => true);
  }

  async #untilChange(range: Range, from: bigint, isIt: (batch: WatchBatch) => boolean): Promise<void> {
    try {
      await using watch = await this.watch(range, from);
      for await (const batch of watch) if (isIt(batch)) return;
    } catch (error) {
      // The change may have been among what is compacted: the caller looks again.
      if (!isConclaveError(error, 'compacted')) throw error;
    }
    this.scope.check();
  }
}

function mayPass(error: ConclaveError): boolean {
  return error.retry || error.maybe || error.kind === 'deadline' || error.kind === 'maybe';
}

/** The error of a write of a session's key that failed with this error after these attempts (R4). */
export function outcome(error: unknown, attempts: Attempts): unknown {
  const lost = leaseIsGone(error);
  if (lost !== undefined) return lost;
  // The keys of a lost session go with it.
  if (!isConclaveError(error) || error.kind === 'session_lost') return error;
  if (attempts.mayHaveHappened) return mayHaveHappened(error);
  return error.kind === 'deadline' ? (attempts.failure ?? error) : error;
}

/** The error of a write of which one attempt may have been executed. */
export function mayHaveHappened(error: unknown): unknown {
  if (!isConclaveError(error) || error.maybe) return error;
  const isUnsent = error.kind === 'deadline' || error.kind === 'unavailable' || error.kind === 'login';
  const details = { maybe: true, apiName: error.apiName, cause: error };
  return new ConclaveError(isUnsent ? 'maybe' : error.kind, `${error.message}; the write may have been executed`, details);
}

const CONFLICT_FIRST_MS = 2;
const CONFLICT_LONGEST_MS = 64;

/** Pauses of an optimistic update that met another one: random, so that those who met once do not meet again. */
export class ConflictPause {
  readonly #backoff = new Backoff(CONFLICT_FIRST_MS, CONFLICT_LONGEST_MS);

  constructor(private readonly scope: Lifetime) {}

  wait(): Promise<void> {
    return this.scope.sleep(Math.random() * this.#backoff.next());
  }
}

/** Checks the name of a recipe. */
export function toName(name: string): string {
  if (typeof name !== 'string' || name === '') throw invalid('the name is empty; give the recipe a name');
  return name;
}

/** A write with a lease that the server does not know: the session has ended on the server. */
export function leaseIsGone(error: unknown): ConclaveError | undefined {
  if (!isConclaveError(error) || error.apiName !== 'LeaseNotFound') return undefined;
  return sessionLost('the server does not know its lease');
}
