import { invalid } from './errors.js';
import { type KeyValue } from './gen/etcd/kv.js';
import {
  Compare,
  Compare_CompareResult,
  Compare_CompareTarget,
  type PutRequest,
  RangeRequest,
  type RequestOp,
  type ResponseOp,
  RangeRequest_SortOrder,
  RangeRequest_SortTarget,
} from './gen/etcd/rpc.js';
import { type Bytes, type Range, toBuffer, toKey, toRange, toRevision } from './keys.js';

export type { KeyValue };

/** Options of a read. */
export interface ReadOptions {
  /** Read as of this revision; absent or 0: the present. */
  readonly revision?: bigint | undefined;
  /** Answer from one member's own state, which may be old, without asking a majority. */
  readonly serializable?: boolean | undefined;
}

/** Options of a list. */
export interface ListOptions extends ReadOptions {
  /** Largest number of keys; absent or 0: all. */
  readonly limit?: number | undefined;
  /** Leave the values out. */
  readonly keysOnly?: boolean | undefined;
  /** Order; by key if absent. */
  readonly sortBy?: 'key' | 'createRevision' | 'modRevision' | 'version' | 'value' | undefined;
  readonly descending?: boolean | undefined;
  /** Only keys that were created at this revision or before. */
  readonly maxCreateRevision?: bigint | undefined;
  readonly minCreateRevision?: bigint | undefined;
}

/** Options of a put. */
export interface PutOptions {
  /** The lease with which the key goes. */
  readonly lease?: bigint | undefined;
  /** Leave the key's lease as it is. The key must exist. */
  readonly keepLease?: boolean | undefined;
  /** Leave the key's value as it is. The key must exist, and the value that is given must be empty. */
  readonly keepValue?: boolean | undefined;
}

/** Result of a list. */
export interface ListResult {
  readonly kvs: KeyValue[];
  /** Number of keys in the range, whatever the limit. */
  readonly count: bigint;
  /** Whether the limit cut the result. */
  readonly more: boolean;
  /** Revision of the store at the answer. */
  readonly revision: bigint;
}

/** Result of a get. */
export interface GetResult {
  /** `undefined` if the key does not exist. */
  readonly kv: KeyValue | undefined;
  /** Revision of the store at the answer. */
  readonly revision: bigint;
}

/** Result of a delete. */
export interface DeleteResult {
  readonly deleted: bigint;
  readonly revision: bigint;
}

/** A transaction: all comparisons hold → `then`, otherwise → `else`; all at one revision. */
export interface Txn {
  readonly if?: readonly Compare[] | undefined;
  readonly then?: readonly RequestOp[] | undefined;
  readonly else?: readonly RequestOp[] | undefined;
}

/** Result of a transaction. */
export interface TxnResult {
  readonly succeeded: boolean;
  /** The new revision if anything was written, else the present one. */
  readonly revision: bigint;
  /** One result for each operation of the branch that ran. */
  readonly responses: TxnResponseOp[];
}

/** Result of one operation of a transaction; `kvs` is empty unless it is a get. */
export interface TxnResponseOp {
  readonly kvs: KeyValue[];
  readonly deleted: bigint;
}

const SORT = {
  key: RangeRequest_SortTarget.KEY,
  createRevision: RangeRequest_SortTarget.CREATE,
  modRevision: RangeRequest_SortTarget.MOD,
  version: RangeRequest_SortTarget.VERSION,
  value: RangeRequest_SortTarget.VALUE,
} as const;

export function rangeRequest(range: Range, options: ListOptions = {}): RangeRequest {
  const { limit = 0, sortBy, descending = false } = options;
  if (!Number.isInteger(limit) || limit < 0) throw invalid('limit is a whole number of 0 or more');
  const isSorted = sortBy !== undefined || descending;
  return RangeRequest.fromPartial({
    ...toRange(range),
    limit: BigInt(limit),
    revision: toRevision(options.revision),
    serializable: options.serializable ?? false,
    keysOnly: options.keysOnly ?? false,
    sortTarget: SORT[sortBy ?? 'key'],
    sortOrder: !isSorted
      ? RangeRequest_SortOrder.NONE
      : descending
        ? RangeRequest_SortOrder.DESCEND
        : RangeRequest_SortOrder.ASCEND,
    maxCreateRevision: toRevision(options.maxCreateRevision),
    minCreateRevision: toRevision(options.minCreateRevision),
  });
}

export function putRequest(key: Bytes, value: Bytes, options: PutOptions = {}): PutRequest {
  return {
    key: toKey(key),
    value: toBuffer(value),
    lease: options.lease ?? 0n,
    prevKv: false,
    ignoreValue: options.keepValue ?? false,
    ignoreLease: options.keepLease ?? false,
  };
}

/** A read in a transaction. */
export function getOp(range: Range, options?: ListOptions): RequestOp {
  return { request: { $case: 'requestRange', value: rangeRequest(range, options) } };
}

/** A put in a transaction. */
export function putOp(key: Bytes, value: Bytes, options?: PutOptions): RequestOp {
  return { request: { $case: 'requestPut', value: putRequest(key, value, options) } };
}

/** A delete in a transaction. */
export function deleteOp(range: Range): RequestOp {
  return { request: { $case: 'requestDeleteRange', value: { ...toRange(range), prevKv: false } } };
}

const RESULT = {
  '=': Compare_CompareResult.EQUAL,
  '!=': Compare_CompareResult.NOT_EQUAL,
  '<': Compare_CompareResult.LESS,
  '>': Compare_CompareResult.GREATER,
} as const;

/** The property that a comparison looks at. A key that does not exist has 0 in all but `value`, where the comparison fails. */
export type CompareTarget = 'version' | 'createRevision' | 'modRevision' | 'lease';

/** A condition on a key, or on every key of a range, as of before the transaction. */
export function compare(range: Range, target: 'value', is: keyof typeof RESULT, than: Bytes): Compare;
export function compare(range: Range, target: CompareTarget, is: keyof typeof RESULT, than: bigint): Compare;
export function compare(
  range: Range,
  target: CompareTarget | 'value',
  is: keyof typeof RESULT,
  than: Bytes | bigint,
): Compare {
  // Callers in JavaScript have no compiler.
  const result = (RESULT as Partial<typeof RESULT>)[is];
  if (result === undefined) throw invalid('a comparison is one of =, !=, < and >');
  const base = { ...toRange(range), result };
  if (target === 'value') {
    const value = toBuffer(than as Bytes);
    return { ...base, target: Compare_CompareTarget.VALUE, targetUnion: { $case: 'value', value } };
  }
  if (typeof than !== 'bigint') throw invalid(`${target} is compared with a bigint`);
  const targets = {
    version: Compare_CompareTarget.VERSION,
    createRevision: Compare_CompareTarget.CREATE,
    modRevision: Compare_CompareTarget.MOD,
    lease: Compare_CompareTarget.LEASE,
  } as const;
  return { ...base, target: targets[target], targetUnion: { $case: target, value: than } };
}

/**
 * The condition that the owner of a lock or an election still is the one with this token (K1). A transaction with it takes effect
 * only while the lock is held.
 */
export function owner(key: Bytes, token: bigint): Compare {
  return compare(toKey(key), 'createRevision', '=', token);
}

export function toTxnResponse(op: ResponseOp): TxnResponseOp {
  const { response } = op;
  return {
    kvs: response?.$case === 'responseRange' ? response.value.kvs : [],
    deleted: response?.$case === 'responseDeleteRange' ? response.value.deleted : 0n,
  };
}

/** Whether a transaction changes anything. */
export function isWriteTxn(txn: Txn): boolean {
  const operations = [...(txn.then ?? []), ...(txn.else ?? [])];
  return operations.some((op) => op.request?.$case !== 'requestRange');
}
