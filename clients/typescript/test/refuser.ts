import { Server, ServerCredentials, type ServerDuplexStream, type sendUnaryData, status as Code } from '@grpc/grpc-js';
import { KVService, LeaseService, WatchService } from '../src/gen/etcd/rpc.js';
import { HealthCheckResponse_ServingStatus, HealthService } from '../src/gen/grpc/health/v1/health.js';

const NO_LEADER = { code: Code.UNAVAILABLE, details: 'etcdserver: no leader' };
const REFUSED = { code: Code.PERMISSION_DENIED, details: 'etcdserver: permission denied' };

/** A server without a leader, which refuses transactions for good when it is asked to. */
export class Refuser implements AsyncDisposable {
  /** Whether it refuses a transaction for good. */
  refuses: () => boolean = () => false;

  private constructor(
    readonly url: string,
    private readonly server: Server,
  ) {}

  static async start(): Promise<Refuser> {
    const server = new Server();
    const port = await new Promise<number>((resolve, reject) => {
      server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, port) => (error === null ? resolve(port) : reject(error)));
    });
    const refuser = new Refuser(`http://127.0.0.1:${port}`, server);
    const noLeader = (_call: unknown, answer: sendUnaryData<never>) => answer(NO_LEADER);
    const txn = (_call: unknown, answer: sendUnaryData<never>) => answer(refuser.refuses() ? REFUSED : NO_LEADER);
    const noStream = (call: ServerDuplexStream<unknown, unknown>) => call.destroy(Object.assign(new Error(NO_LEADER.details), NO_LEADER));
    const serving = { status: HealthCheckResponse_ServingStatus.SERVING };
    server.addService(HealthService, { check: (_call: unknown, answer: sendUnaryData<unknown>) => answer(null, serving) });
    server.addService(KVService, { range: noLeader, txn, put: noLeader });
    server.addService(LeaseService, { leaseGrant: noLeader, leaseRevoke: noLeader, leaseKeepAlive: noStream });
    server.addService(WatchService, { watch: noStream });
    return refuser;
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.server.forceShutdown();
    return Promise.resolve();
  }
}
