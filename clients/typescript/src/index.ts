export { Client } from './client.js';
export type { Method } from './connection.js';
export { ConclaveError, type ErrorKind, isConclaveError } from './errors.js';
export { leftovers } from './leftovers.js';
export { API_ERRORS, type ApiErrorName } from './gen/errors.js';
export type { Bytes, Range } from './keys.js';
export {
  type CompareTarget,
  type DeleteResult,
  type GetResult,
  type KeyValue,
  type ListOptions,
  type ListResult,
  type PutOptions,
  type ReadOptions,
  type Txn,
  type TxnResponseOp,
  type TxnResult,
  compare,
  deleteOp,
  getOp,
  owner,
  putOp,
} from './kv.js';
export type { LogEntry, LogHook } from './log.js';
export { type ClientOptions, optionsFromEnv } from './options.js';
export type { WaitOptions } from './scope.js';
export type { Session, SessionOptions, SessionState } from './session.js';
export type { TlsOptions } from './tls.js';
export type { Watch, WatchBatch, WatchEvent, WatchOptions } from './watch.js';
export { Barrier } from './recipes/barrier.js';
export { Cache, type TableChange } from './recipes/cache.js';
export { Counter } from './recipes/counter.js';
export { Discovery, type ServiceAddress } from './recipes/discovery.js';
export { DoubleBarrier } from './recipes/double_barrier.js';
export { Election, type Leader, Leadership } from './recipes/election.js';
export type { ObserveOptions } from './recipes/follow.js';
export { Group, type Members, Membership } from './recipes/group.js';
export { Latch } from './recipes/latch.js';
export { LeaderLatch } from './recipes/leader_latch.js';
export { Lock } from './recipes/lock.js';
export { Mutex } from './recipes/mutex.js';
export { type OnceResult, once } from './recipes/once.js';
export { Item, type PutItemOptions, Queue } from './recipes/queue.js';
export { RwLock } from './recipes/rwlock.js';
export { Semaphore } from './recipes/semaphore.js';
export { type StmView, stm } from './recipes/stm.js';
export { Value, type ValueState, type Versioned } from './recipes/value.js';
