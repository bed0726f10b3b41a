import type { Core } from './core.js';
import { type ConclaveError, asError, closed, compacted, fromStatus, lookUp, unavailable } from './errors.js';
import { status as Code } from '@grpc/grpc-js';
import { type Event, Event_EventType, type KeyValue } from './gen/etcd/kv.js';
import { WatchCreateRequest, type WatchRequest, type WatchResponse, WatchService } from './gen/etcd/rpc.js';
import { type Range, toRange, toRevision } from './keys.js';
import { type Lifetime, Scope, type WaitOptions, checkTimeout } from './scope.js';
import type { Stream, StreamOpener } from './stream.js';

/** Options of a watch. */
export interface WatchOptions extends WaitOptions {
  /** First revision to deliver, past or future. Absent or 0: everything after the watch is open. */
  readonly from?: bigint | undefined;
  /** Deliver the key's value before each change, too. */
  readonly previous?: boolean | undefined;
}

/** A change of a key. */
export interface WatchEvent {
  readonly type: 'put' | 'delete';
  readonly key: Buffer;
  /** The new value; empty for a delete. */
  readonly value: Buffer;
  /** The revision of the change. */
  readonly revision: bigint;
  /** The key as it is now; for a delete only the key and `modRevision` are set. */
  readonly kv: KeyValue;
  /** The key as it was before, if asked for and not compacted. */
  readonly previous: KeyValue | undefined;
}

/** Changes up to and including a revision. All changes of a revision are in the same batch. */
export interface WatchBatch {
  readonly revision: bigint;
  readonly events: readonly WatchEvent[];
}

/** A server that does not confirm a watch within this time is left for another one. */
const CREATE_MS = 2_000;

type WatchStream = Stream<WatchRequest, WatchResponse>;

/**
 * A watch: every change of a range once and in order, across broken connections (W1). Iterate over it; leaving the loop closes it.
 * It ends with the kind `compacted` if changes were compacted before it could read them, and with `api` if the server refuses it.
 * Events that are not read yet stay on the server or in the connection's flow control (W5).
 */
export class Watch implements AsyncIterable<WatchBatch>, AsyncDisposable {
  /** Revision of the store when the watch was created. */
  readonly revision: bigint;
  readonly #source: Source;
  readonly #batches: AsyncGenerator<WatchBatch, void, void>;

  private constructor(source: Source, revision: bigint) {
    this.#source = source;
    this.revision = revision;
    this.#batches = source.batches();
  }

  /** Opens a watch. Resolves when a server has created it: every later change is delivered. */
  static async open(core: Core, range: Range, options: WatchOptions = {}, parent: Lifetime = core.open): Promise<Watch> {
    const source = new Source(core, range, options, parent);
    try {
      return new Watch(source, await source.create(options));
    } catch (error) {
      source.end(closed('watch'));
      throw error;
    }
  }

  /** Called with revisions up to which everything was delivered. @internal */
  set onProgress(listener: (revision: bigint) => void) {
    this.#source.onProgress = listener;
  }

  /** Asks the server for its revision; the answer is progress. @internal */
  requestProgress(): void {
    this.#source.requestProgress();
  }

  /** Ends the watch. Its iteration ends without an error. Can be called twice. */
  close(): void {
    this.#source.end(closed('watch'));
  }

  /** The next batch, or `undefined` when the watch was closed. */
  async next(): Promise<WatchBatch | undefined> {
    const result = await this.#batches.next();
    return result.done === true ? undefined : result.value;
  }

  [Symbol.asyncIterator](): AsyncIterator<WatchBatch, void, void> {
    return {
      next: () => this.#batches.next(),
      return: () => {
        this.close();
        return this.#batches.return();
      },
    };
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.close();
    return Promise.resolve();
  }
}

/** The streams behind a watch. */
class Source {
  onProgress: ((revision: bigint) => void) | undefined;
  /** The request that would open the watch again: its start is the first revision that was not delivered. */
  readonly #request: WatchCreateRequest;
  readonly #scope: Scope;
  readonly #opener: StreamOpener<WatchRequest, WatchResponse>;
  #stream: WatchStream | undefined;
  #isClosedByUser = false;

  constructor(core: Core, range: Range, options: WatchOptions, parent: Lifetime) {
    const { from, previous = false } = options;
    checkTimeout(options.timeoutMs);
    this.#request = WatchCreateRequest.fromPartial({
      ...toRange(range),
      startRevision: toRevision(from),
      prevKv: previous,
      progressNotify: true,
    });
    this.#scope = new Scope('a watch', { signal: options.signal }, parent, core.open);
    this.#scope.onEnd((reason) => {
      this.#isClosedByUser = reason.kind === 'cancelled' || this.#isClosedByUser;
      this.#stream?.cancel(reason);
      // Removes the listeners of the scope.
      this.#scope[Symbol.dispose]();
    });
    this.#opener = core.opener(WatchService.watch, this.#scope);
  }

  end(reason: ConclaveError): void {
    if (this.#scope.reason === undefined) this.#isClosedByUser = true;
    this.#scope.end(reason);
  }

  requestProgress(): void {
    this.#stream?.send({ requestUnion: { $case: 'progressRequest', value: {} } });
  }

  /** Creates the watch on some server, and returns the revision of the store. */
  async create(options: WaitOptions): Promise<bigint> {
    using scope = new Scope('opening a watch', { timeoutMs: options.timeoutMs }, this.#scope);
    const removeListener = scope.onEnd((reason) => {
      if (reason.kind === 'deadline') this.end(reason);
    });
    try {
      return await scope.wait(this.#connect());
    } finally {
      removeListener();
    }
  }

  async *batches(): AsyncGenerator<WatchBatch, void, void> {
    try {
      for (;;) {
        this.#scope.check();
        if (this.#stream === undefined) await this.#connect();
        const batch = await this.#read();
        if (batch !== undefined) yield batch;
      }
    } catch (error) {
      if (this.#isClosedByUser) return;
      throw error;
    } finally {
      this.end(closed('watch'));
    }
  }

  async #connect(): Promise<bigint> {
    for (;;) {
      const stream = await this.#opener.open();
      const revision = await this.#createOn(stream);
      if (revision !== undefined) {
        this.#opener.works(stream);
        this.#stream = stream;
        this.#scope.onEnd((reason) => stream.cancel(reason));
        return revision;
      }
      stream.cancel(unavailable('another stream is opened'));
    }
  }

  /** Returns `undefined` if another server should be tried. */
  async #createOn(stream: WatchStream): Promise<bigint | undefined> {
    using scope = new Scope('creating a watch', { timeoutMs: CREATE_MS }, this.#scope);
    const stopListening = scope.onEnd((reason) => stream.cancel(reason));
    try {
      stream.send({ requestUnion: { $case: 'createRequest', value: this.#request } });
      const created = await stream.next();
      if (created.canceled) {
        this.#refused(stream, created);
        return undefined;
      }
      const revision = created.header?.revision ?? 0n;
      // From now on the start is fixed, so that another stream does not skip what happens in between.
      if (this.#request.startRevision === 0n) this.#request.startRevision = revision + 1n;
      return revision;
    } catch (error) {
      this.#scope.check();
      if (scope.reason?.kind === 'deadline') stream.endpoint.suspect(stream.connection);
      else this.#failed(stream, asError(error));
      return undefined;
    } finally {
      stopListening();
    }
  }

  /** Reads one message of the present stream. */
  async #read(): Promise<WatchBatch | undefined> {
    const stream = this.#stream as WatchStream;
    let response: WatchResponse;
    try {
      response = await stream.next();
    } catch (error) {
      this.#scope.check();
      this.#stream = undefined;
      this.#failed(stream, asError(error));
      return undefined;
    }
    if (response.canceled) {
      this.#stream = undefined;
      stream.cancel(unavailable('another stream is opened'));
      this.#refused(stream, response);
      return undefined;
    }
    return this.#accept(response);
  }

  /** Returns if another stream may help, and throws otherwise. */
  #failed(stream: WatchStream, error: ConclaveError): void {
    if (error.kind === 'unavailable' || error.retry) return;
    const text = error.message;
    if (this.#opener.forgetRefused(stream, text)) return;
    throw error;
  }

  #refused(stream: WatchStream, response: WatchResponse): void {
    if (response.compactRevision !== 0n) throw compacted(response.compactRevision);
    const text = response.cancelReason;
    if (this.#opener.forgetRefused(stream, text)) return;
    const row = lookUp(text);
    if (row?.retry === true) return;
    throw fromStatus({ code: Code.FAILED_PRECONDITION, details: text }, false);
  }

  #accept(response: WatchResponse): WatchBatch | undefined {
    const last = response.events.at(-1)?.kv;
    if (last === undefined) {
      // Progress: everything up to this revision was delivered, so a later compaction of it does no harm.
      const revision = response.header?.revision ?? 0n;
      if (revision >= this.#request.startRevision) this.#request.startRevision = revision + 1n;
      this.onProgress?.(revision);
      return undefined;
    }
    this.#request.startRevision = last.modRevision + 1n;
    return { revision: last.modRevision, events: response.events.map(toEvent) };
  }
}

function toEvent(event: Event): WatchEvent {
  const kv = event.kv as KeyValue;
  return {
    type: event.type === Event_EventType.DELETE ? 'delete' : 'put',
    key: kv.key,
    value: kv.value,
    revision: kv.modRevision,
    kv,
    previous: event.prevKv,
  };
}
