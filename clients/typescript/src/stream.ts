import { type ClientDuplexStream, type ServiceError, status as Code } from '@grpc/grpc-js';
import { type Calls, RELOGINS_MAX, metadataOf } from './calls.js';
import type { Connection, Method } from './connection.js';
import { type ConclaveError, fromStatus, isRefusedToken, unavailable } from './errors.js';
import { track } from './leftovers.js';
import type { Token } from './login.js';
import { type Endpoint, type Rotation, Tour } from './rotation.js';
import { Lifetime, Scope } from './scope.js';

/** An open stream of messages in both directions. */
export class Stream<Request, Response> {
  readonly #call: ClientDuplexStream<Request, Response>;
  /** Ends when the stream does. */
  readonly lifetime = new Lifetime();
  #wake: (() => void) | undefined;
  #hasEnded = false;

  constructor(
    readonly endpoint: Endpoint,
    readonly connection: Connection,
    readonly token: Token,
    call: ClientDuplexStream<Request, Response>,
  ) {
    this.#call = call;
    call.on('readable', () => this.#wake?.());
    call.on('end', () => this.#finish(unavailable('the server ended the stream')));
    call.on('error', (error: Partial<ServiceError> & Error) => {
      // Node's own errors of streams have no status, and their codes are strings.
      const { code, details = error.message } = error;
      this.#finish(fromStatus({ code: typeof code === 'number' ? code : Code.UNKNOWN, details }, false));
    });
    // A stream that was cancelled while it was paused emits neither of the events above until it is read.
    const untrack = track('streams');
    call.on('status', () => {
      untrack();
      connection.streamEnded();
    });
  }

  #finish(reason: ConclaveError): void {
    this.#hasEnded = true;
    this.lifetime.end(reason);
    this.#wake?.();
  }

  send(message: Request): void {
    if (!this.#hasEnded) this.#call.write(message);
  }

  /** The next message. Messages that came before the end are delivered first. Rejects when the stream has ended. */
  async next(): Promise<Response> {
    for (;;) {
      const message = this.#call.read() as Response | null;
      if (message !== null) return message;
      this.lifetime.check();
      await new Promise<void>((resolve) => (this.#wake = resolve));
      this.#wake = undefined;
    }
  }

  /** Ends the stream. A pending `next` rejects with the reason. */
  cancel(reason: ConclaveError): void {
    if (!this.#hasEnded) this.#call.cancel();
    this.#finish(reason);
  }
}

/**
 * Opens one stream after another, on endpoint after endpoint, until its scope ends. The pauses are those of a read (R2).
 */
export class StreamOpener<Request, Response> {
  readonly #tour: Tour;
  #relogins = 0;

  constructor(
    private readonly method: Method<Request, Response>,
    rotation: Rotation,
    private readonly calls: Calls,
    private readonly scope: Lifetime,
    /** Longest time to make a connection, if shorter than the endpoint's own limit. */
    private readonly connectMs?: number,
  ) {
    this.#tour = new Tour(rotation);
  }

  /** Opens a stream. Rejects when the scope has ended, or the login was refused. */
  async open(): Promise<Stream<Request, Response>> {
    for (;;) {
      const endpoint = await this.#tour.next(this.scope);
      using attempt = new Scope('opening a stream', { timeoutMs: this.connectMs }, this.scope);
      try {
        const token = await this.calls.login?.token(attempt);
        const connection = await endpoint.connect(attempt);
        const metadata = metadataOf(token);
        // A member without a majority ends the stream (W3).
        metadata.set('hasleader', 'true');
        return new Stream(endpoint, connection, token, connection.duplex(this.method, metadata));
      } catch (error) {
        this.scope.check();
        const kind = (error as ConclaveError).kind;
        if (kind === 'login' || kind === 'api') throw error;
      }
    }
  }

  /** The stream works: the next one is opened without a pause, on another endpoint. */
  works(stream: Stream<Request, Response>): void {
    this.#relogins = 0;
    this.#tour.succeeded(stream.endpoint);
  }

  /** Forgets the token of a stream if it was refused for it. Returns whether another token may help: not after some have not. */
  forgetRefused(stream: Stream<Request, Response>, text: string): boolean {
    const { login } = this.calls;
    if (login === undefined || !isRefusedToken(text)) return false;
    login.forget(stream.token);
    this.#relogins += 1;
    return this.#relogins <= RELOGINS_MAX;
  }
}
