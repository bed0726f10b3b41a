import { Metadata } from '@grpc/grpc-js';
import { Connection, type ConnectionContext } from './connection.js';
import type { Address } from './endpoints.js';
import { type ConclaveError, asError, closed, unavailable } from './errors.js';
import { HealthCheckResponse_ServingStatus, HealthService } from './gen/grpc/health/v1/health.js';
import type { Log } from './log.js';
import { Backoff, type Lifetime, Scope } from './scope.js';

/** Longest time to make a connection, and to wait for the answer to a probe. */
const CONNECT_MS = 2_000;
const PROBE_FIRST_MS = 100;
const PROBE_LONGEST_MS = 5_000;

/** A server of the cluster, and whether it is in the rotation (C2). */
export class Endpoint {
  isInRotation = true;
  #connection: Connection | undefined;
  #connecting: Promise<Connection> | undefined;
  /** Connections that were replaced and still have calls. */
  readonly #former = new Set<Connection>();
  #isProbing = false;

  constructor(
    readonly address: Address,
    private readonly context: ConnectionContext,
    private readonly lifetime: Lifetime,
    private readonly log: Log,
  ) {
    lifetime.onEnd(() => this.#close());
  }

  get url(): string {
    return this.address.url;
  }

  /** The present connection, or a new one. Fails with `unavailable`, or as the scope does. */
  connect(scope: Scope): Promise<Connection> {
    if (this.#connection !== undefined) return Promise.resolve(this.#connection);
    // All callers share the attempt, so that it outlives the scope of the first one.
    this.#connecting ??= this.#open().finally(() => (this.#connecting = undefined));
    return scope.wait(this.#connecting);
  }

  async #open(): Promise<Connection> {
    using scope = new Scope(`connecting to ${this.url}`, { timeoutMs: CONNECT_MS }, this.lifetime);
    try {
      const connection = await Connection.open(this.address, this.context, scope);
      this.#adopt(connection);
      return connection;
    } catch (error) {
      this.lifetime.check();
      const reason = `${this.url}: ${asError(error).message}`;
      this.#leave(reason);
      throw unavailable(reason);
    }
  }

  #adopt(connection: Connection): void {
    this.#connection = connection;
    connection.lifetime.onEnd((reason) => {
      this.#former.delete(connection);
      if (this.#connection !== connection) return;
      this.#connection = undefined;
      this.#leave(reason.message);
    });
  }

  /** A connection was silent for too long. The next use of the endpoint makes another one. */
  suspect(connection: Connection): void {
    if (this.#connection !== connection) return;
    this.#connection = undefined;
    this.#former.add(connection);
    connection.retire();
    this.#leave('a call was not answered');
  }

  #leave(reason: string): void {
    if (this.lifetime.reason !== undefined) return;
    if (this.isInRotation) this.log.write('info', `endpoint ${this.url} leaves the rotation: ${reason}`);
    this.isInRotation = false;
    if (!this.#isProbing) void this.#probe();
  }

  /** Tries the endpoint until it answers. Never rejects. */
  async #probe(): Promise<void> {
    this.#isProbing = true;
    const backoff = new Backoff(PROBE_FIRST_MS, PROBE_LONGEST_MS);
    try {
      while (!(await this.#isHealthy())) await this.lifetime.sleep(backoff.next());
      this.isInRotation = true;
      this.log.write('info', `endpoint ${this.url} is back in the rotation`);
    } catch {
      // The client is closed.
    } finally {
      this.#isProbing = false;
    }
    // The connection may have broken between the probe's answer and now.
    if (this.isInRotation && this.#connection === undefined) this.#leave('the connection broke');
  }

  async #isHealthy(): Promise<boolean> {
    using scope = new Scope(`probing ${this.url}`, { timeoutMs: CONNECT_MS }, this.lifetime);
    try {
      const connection = await this.connect(scope);
      const result = await connection.unary(HealthService.check, { service: '' }, new Metadata(), CONNECT_MS, scope);
      if ('response' in result) return result.response.status === HealthCheckResponse_ServingStatus.SERVING;
      if (scope.reason !== undefined) this.suspect(connection);
      return false;
    } catch {
      return false;
    }
  }

  #close(): void {
    const connections = [this.#connection, ...this.#former];
    this.#connection = undefined;
    for (const connection of connections) connection?.close('the client is closed');
  }
}

/** The endpoints of a client, used in turn. */
export class Rotation {
  readonly #endpoints: Endpoint[];
  #next: number;

  constructor(endpoints: Endpoint[]) {
    this.#endpoints = endpoints;
    // Clients that start together should not all begin with the first server.
    this.#next = Math.floor(Math.random() * endpoints.length);
  }

  /** The next endpoint that is not excluded: of those in the rotation, or of all if none is. */
  pick(excluded: ReadonlySet<Endpoint>): Endpoint | undefined {
    const inRotation = this.#endpoints.filter((endpoint) => endpoint.isInRotation);
    const candidates = inRotation.length > 0 ? inRotation : this.#endpoints;
    const usable = candidates.filter((endpoint) => !excluded.has(endpoint));
    const endpoint = usable[this.#next % usable.length];
    this.#next = (this.#next + 1) % 0x4000_0000;
    return endpoint;
  }
}

/** Pause after all endpoints have failed (R2). */
export const RETRY_FIRST_MS = 25;
export const RETRY_LONGEST_MS = 500;

/** Chooses the endpoints of one operation: each once, then a pause, then again. */
export class Tour {
  readonly #tried = new Set<Endpoint>();
  readonly #backoff = new Backoff(RETRY_FIRST_MS, RETRY_LONGEST_MS);

  constructor(private readonly rotation: Rotation) {}

  async next(scope: Lifetime): Promise<Endpoint> {
    for (;;) {
      scope.check();
      const endpoint = this.rotation.pick(this.#tried);
      if (endpoint !== undefined) {
        this.#tried.add(endpoint);
        return endpoint;
      }
      await scope.sleep(this.#backoff.next());
      this.#tried.clear();
    }
  }

  /** Something worked: begin again without a pause, but not with this endpoint if it fails next. */
  succeeded(endpoint: Endpoint): void {
    this.#tried.clear();
    this.#tried.add(endpoint);
    this.#backoff.reset();
  }
}

/** Reason for which everything of a client ends. */
export function clientClosed(): ConclaveError {
  return closed('client');
}
