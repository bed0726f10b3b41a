// The API's messages and services, as generated. For `Client.call`.
export * from './gen/etcd/rpc.js';
export type { Event, KeyValue } from './gen/etcd/kv.js';
export { Permission, Permission_Type, UserAddOptions } from './gen/etcd/auth.js';
