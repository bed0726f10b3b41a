import './polyfill.js';
import type { Method } from './connection.js';
import { Core } from './core.js';
import { ClusterService, KVService, LeaseService, MaintenanceService } from './gen/etcd/rpc.js';
import type { Member, StatusResponse } from './gen/etcd/rpc.js';
import { type Bytes, type Range, toKey, toRange, toRevision } from './keys.js';
import {
  type DeleteResult,
  type GetResult,
  type ListOptions,
  type ListResult,
  type PutOptions,
  type ReadOptions,
  type Txn,
  type TxnResult,
  isWriteTxn,
  putRequest,
  rangeRequest,
  toTxnResponse,
} from './kv.js';
import { type ClientOptions, optionsFromEnv } from './options.js';
import type { WaitOptions } from './scope.js';
import { Session, type SessionOptions } from './session.js';
import { Watch, type WatchOptions } from './watch.js';

/**
 * A client of a Conclave or etcd cluster. It connects when it is first used.
 *
 * Unary calls have a deadline of 5 s unless the client or the call says otherwise. Every method can be cancelled with a signal. All
 * errors are of the class `ConclaveError`.
 */
export class Client implements AsyncDisposable {
  /** @internal */
  readonly core: Core;
  #closing: Promise<void> | undefined;

  /** Checks the options, and reads the TLS files. Throws `invalid` if they cannot be used. Does not connect. */
  constructor(options: ClientOptions) {
    this.core = new Core(options);
  }

  /** A client with the options of etcdctl's environment variables; see {@link optionsFromEnv}. */
  static fromEnv(env: Readonly<Record<string, string | undefined>> = process.env): Client {
    return new Client(optionsFromEnv(env));
  }

  /** Reads a key. */
  async get(key: Bytes, options: ReadOptions & WaitOptions = {}): Promise<GetResult> {
    const { kvs, revision } = await this.list(toKey(key), options);
    return { kv: kvs[0], revision };
  }

  /** Reads the keys of a range, in the order of keys unless the options say otherwise. */
  async list(range: Range, options: ListOptions & WaitOptions = {}): Promise<ListResult> {
    const call = { method: KVService.range, request: rangeRequest(range, options), isWrite: false };
    const { kvs, count, more, header } = await this.core.call(call, options);
    return { kvs, count, more, revision: header?.revision ?? 0n };
  }

  /** Writes a key. Returns the revision of the write. */
  async put(key: Bytes, value: Bytes, options: PutOptions & WaitOptions = {}): Promise<bigint> {
    const call = { method: KVService.put, request: putRequest(key, value, options), isWrite: true };
    return (await this.core.call(call, options)).header?.revision ?? 0n;
  }

  /** Deletes a key or a range of keys, at one revision. */
  async delete(range: Range, options: WaitOptions = {}): Promise<DeleteResult> {
    const request = { ...toRange(range), prevKv: false };
    const { deleted, header } = await this.core.call({ method: KVService.deleteRange, request, isWrite: true }, options);
    return { deleted, revision: header?.revision ?? 0n };
  }

  /** Runs a transaction. Its parts are made with `compare`, `owner`, `getOp`, `putOp` and `deleteOp`. */
  async txn(txn: Txn, options: WaitOptions = {}): Promise<TxnResult> {
    const request = { compare: [...(txn.if ?? [])], success: [...(txn.then ?? [])], failure: [...(txn.else ?? [])] };
    const answer = await this.core.call({ method: KVService.txn, request, isWrite: isWriteTxn(txn) }, options);
    return {
      succeeded: answer.succeeded,
      revision: answer.header?.revision ?? 0n,
      responses: answer.responses.map(toTxnResponse),
    };
  }

  /** Removes the history before a revision. */
  async compact(revision: bigint, options: WaitOptions = {}): Promise<void> {
    const request = { revision: toRevision(revision), physical: false };
    await this.core.call({ method: KVService.compact, request, isWrite: true }, options);
  }

  /** Opens a watch on a key or a range. Resolves when it is created. */
  watch(range: Range, options: WatchOptions = {}): Promise<Watch> {
    return Watch.open(this.core, range, options);
  }

  /** Opens a session: a lease that is kept alive. */
  session(options: SessionOptions = {}): Promise<Session> {
    return Session.open(this, options);
  }

  /** Remaining and granted time to live of a lease, in seconds, and its keys; `undefined` if the lease does not exist. */
  async timeToLive(
    lease: bigint,
    options: WaitOptions = {},
  ): Promise<{ remainingSeconds: bigint; grantedSeconds: bigint; keys: Buffer[] } | undefined> {
    const call = { method: LeaseService.leaseTimeToLive, request: { ID: lease, keys: true }, isWrite: false };
    const { TTL, grantedTTL, keys } = await this.core.call(call, options);
    return TTL < 0n ? undefined : { remainingSeconds: TTL, grantedSeconds: grantedTTL, keys };
  }

  /** Ids of all leases. */
  async leases(options: WaitOptions = {}): Promise<bigint[]> {
    const { leases } = await this.core.call({ method: LeaseService.leaseLeases, request: {}, isWrite: false }, options);
    return leases.map((lease) => lease.ID);
  }

  /** Members of the cluster. */
  async members(options: WaitOptions = {}): Promise<Member[]> {
    const call = { method: ClusterService.memberList, request: { linearizable: true }, isWrite: false };
    return (await this.core.call(call, options)).members;
  }

  /** State of one of the members, whichever is next. */
  status(options: WaitOptions = {}): Promise<StatusResponse> {
    return this.core.call({ method: MaintenanceService.status, request: {}, isWrite: false }, options);
  }

  /**
   * Makes any unary call of the API, such as those of `AuthService`; the services are in `@conclave/client/api`. `isWrite` decides
   * whether the call may be sent again when its answer is lost.
   */
  call<Request, Response>(
    method: Method<Request, Response>,
    request: Request,
    options: WaitOptions & { readonly isWrite: boolean },
  ): Promise<Response> {
    return this.core.call({ method, request, isWrite: options.isWrite }, options);
  }

  /**
   * Closes the client: waiting calls fail with `closed`, its sessions are closed, for at most the client's deadline, and its
   * connections. Can be called twice.
   */
  close(): Promise<void> {
    this.#closing ??= this.core.close(this.core.timeoutMs);
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}
