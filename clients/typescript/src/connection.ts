import type { Socket } from 'node:net';
import {
  CallCredentials,
  ChannelCredentials,
  Client as GrpcClient,
  type ClientDuplexStream,
  type Metadata,
  connectivityState,
  type experimental,
} from '@grpc/grpc-js';
import type { Address } from './endpoints.js';
import { type CallStatus, closed, unavailable } from './errors.js';
import { HealthService } from './gen/grpc/health/v1/health.js';
import { track } from './leftovers.js';
import { LONGEST_TIMER_MS, Lifetime, type Scope } from './scope.js';
import type { TlsFiles } from './tls.js';

/** A method of the API, as in the generated service definitions. */
export interface Method<Request, Response> {
  readonly path: string;
  readonly requestSerialize: (request: Request) => Buffer;
  readonly responseDeserialize: (bytes: Buffer) => Response;
}

/** The parts of a client that its connections need. */
export interface ConnectionContext {
  readonly tls: TlsFiles | undefined;
  /** Called whenever a message has arrived, before anything else sees it. */
  readonly onMessage: () => void;
}

/** Pings of connections with calls (C3). The servers refuse pings that are more frequent than 5 s. */
const PING_AFTER_MS = 10_000;
const PING_TIMEOUT_MS = 3_000;

/** Time in which a channel that could not connect says why. */
const FAILURE_MS = 100;

/** Parts of grpc-js' text for a connection that failed which say nothing of the reason. */
const NOISE = /^No connection established\. Last error: | \(\d{4}-\d\d-\d\dT[\d:.]+Z\)|\. Resolution note: .*$/gs;

/** Result of a unary call on a connection. */
export type CallResult<Response> = { readonly response: Response } | { readonly status: CallStatus };

/**
 * One HTTP/2 connection to one server. A grpc-js channel connects again by itself and hides when it does; here a channel is closed
 * when its first connection ends. So it is always known whether there was a connection to send a write on (R3).
 */
export class Connection {
  /** Ends when the connection does. */
  readonly lifetime = new Lifetime();
  readonly #client: GrpcClient;
  readonly #credentials: SocketCredentials;
  readonly #context: ConnectionContext;
  #calls = 0;
  #retired = false;

  private constructor(address: Address, context: ConnectionContext) {
    this.#context = context;
    this.#credentials = new SocketCredentials(address, address.isSecure ? context.tls : undefined);
    this.#client = new GrpcClient(address.target, this.#credentials, {
      'grpc.keepalive_time_ms': PING_AFTER_MS,
      'grpc.keepalive_timeout_ms': PING_TIMEOUT_MS,
      'grpc.use_local_subchannel_pool': 1,
      'grpc.enable_channelz': 0,
      'grpc.enable_http_proxy': 0,
      'grpc.service_config_disable_resolution': 1,
      'grpc.client_idle_timeout_ms': LONGEST_TIMER_MS,
      'grpc.max_receive_message_length': -1,
      'grpc.max_send_message_length': -1,
    });
  }

  /** Connects. Fails with any error that says why, or as the scope does. */
  static async open(address: Address, context: ConnectionContext, scope: Scope): Promise<Connection> {
    const connection = new Connection(address, context);
    try {
      await scope.wait(connection.#ready());
    } catch (error) {
      connection.close();
      throw error;
    }
    connection.#watchForEnd();
    return connection;
  }

  /** Bytes that have come from the server. */
  get bytesRead(): number {
    return this.#credentials.socket?.bytesRead ?? 0;
  }

  async #ready(): Promise<void> {
    const channel = this.#client.getChannel();
    // Asked again, a channel that is closed would connect again.
    for (let state = channel.getConnectivityState(true); ; state = channel.getConnectivityState(false)) {
      if (state === connectivityState.READY) return;
      if (state === connectivityState.TRANSIENT_FAILURE) throw new Error(await this.#failure());
      if (state === connectivityState.SHUTDOWN) throw closed('connection');
      const before = state;
      await new Promise<void>((resolve) => channel.watchConnectivityState(before, Infinity, () => resolve()));
    }
  }

  /** A channel does not say why it could not connect, but a call on it fails with the reason. */
  #failure(): Promise<string> {
    const { path, requestSerialize, responseDeserialize } = HealthService.check;
    return new Promise((resolve) => {
      const options = { deadline: Date.now() + FAILURE_MS };
      this.#client.makeUnaryRequest(path, requestSerialize, responseDeserialize, { service: '' }, options, (error) => {
        resolve((error?.details ?? 'the connection failed').replace(NOISE, ''));
      });
    });
  }

  #watchForEnd(): void {
    const channel = this.#client.getChannel();
    channel.watchConnectivityState(connectivityState.READY, Infinity, () => {
      this.close('the connection broke');
    });
  }

  /**
   * Makes a unary call. Resolves with the status if it fails, also when the scope's end cancels it. The server is sent the deadline,
   * in milliseconds from now.
   */
  unary<Q, A>(
    method: Method<Q, A>,
    request: Q,
    metadata: Metadata,
    deadlineMs: number,
    scope: Lifetime,
  ): Promise<CallResult<A>> {
    return new Promise((resolve) => {
      this.#calls += 1;
      const options = deadlineMs < LONGEST_TIMER_MS ? { deadline: Date.now() + deadlineMs } : {};
      const call = this.#client.makeUnaryRequest(
        method.path,
        method.requestSerialize,
        this.#deserializer(method),
        request,
        metadata,
        options,
        (error, response) => {
          remove();
          this.#release();
          if (error !== null) resolve({ status: { code: error.code, details: error.details } });
          else resolve({ response: response as A });
        },
      );
      const remove = scope.onEnd(() => call.cancel());
    });
  }

  /** Opens a stream in both directions. Its end must be reported to `streamEnded`. */
  duplex<Q, A>(method: Method<Q, A>, metadata: Metadata): ClientDuplexStream<Q, A> {
    this.#calls += 1;
    return this.#client.makeBidiStreamRequest(method.path, method.requestSerialize, this.#deserializer(method), metadata);
  }

  streamEnded(): void {
    this.#release();
  }

  #deserializer<Q, A>(method: Method<Q, A>): (bytes: Buffer) => A {
    return (bytes) => {
      this.#context.onMessage();
      return method.responseDeserialize(bytes);
    };
  }

  #release(): void {
    this.#calls -= 1;
    if (this.#retired && this.#calls === 0) this.close();
  }

  /** Closes the connection when its last call has ended. */
  retire(): void {
    this.#retired = true;
    if (this.#calls === 0) this.close();
  }

  /** Closes the connection, and fails its calls. */
  close(reason = 'the connection was closed'): void {
    if (this.lifetime.reason !== undefined) return;
    this.lifetime.end(unavailable(reason));
    this.#client.close();
    this.#credentials.isClosed = true;
    const { socket } = this.#credentials;
    // A server that is stopped never closes its side. The pause lets the farewell frames be written.
    setImmediate(() => socket?.destroy());
  }
}

/** Credentials that do the TLS handshake with the present files, and keep the socket in view. */
class SocketCredentials extends ChannelCredentials {
  /** The connection's socket, once there is one. */
  socket: Socket | undefined;
  isClosed = false;

  constructor(
    private readonly address: Address,
    private readonly tls: TlsFiles | undefined,
  ) {
    super();
  }

  override _isSecure(): boolean {
    return this.tls !== undefined;
  }

  override _equals(other: ChannelCredentials): boolean {
    return this === other;
  }

  override _createSecureConnector(): experimental.SecureConnector {
    const callCredentials = CallCredentials.createEmpty();
    return {
      connect: async (socket) => {
        // The connection may have been closed while TCP connected.
        if (this.isClosed) {
          socket.destroy();
          throw new Error('the connection was closed');
        }
        this.socket = socket;
        socket.once('close', track('connections'));
        if (this.tls !== undefined) this.socket = await this.tls.connect(socket, this.address.host);
        return { socket: this.socket, secure: this.tls !== undefined };
      },
      waitForReady: () => Promise.resolve(),
      getCallCredentials: () => callCredentials,
      destroy: () => undefined,
    };
  }
}
