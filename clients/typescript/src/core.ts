import { Calls, type Answer, type Call } from './calls.js';
import { clock } from './clock.js';
import type { Method } from './connection.js';
import { parseEndpoints } from './endpoints.js';
import { closed, invalid } from './errors.js';
import { AuthService } from './gen/etcd/rpc.js';
import { Log } from './log.js';
import { Login } from './login.js';
import { type ClientOptions, DEFAULT_TIMEOUT_MS } from './options.js';
import { Endpoint, Rotation } from './rotation.js';
import { Lifetime, type WaitOptions, checkTimeout } from './scope.js';
import type { Session } from './session.js';
import { StreamOpener } from './stream.js';
import { TlsFiles } from './tls.js';

const LOGIN_TIMEOUT_MS = 10_000;
/** The clock is read at most this often because of arriving messages. */
const LOOK_EVERY_MS = 20;

/** State that the parts of a client share. */
export class Core {
  readonly log: Log;
  readonly timeoutMs: number;
  readonly rotation: Rotation;
  readonly calls: Calls;
  /** Ends when the user closes the client: everything that the user waits for fails. */
  readonly open = new Lifetime();
  /** Ends when the sessions are closed: no call works any more. */
  readonly connected = new Lifetime();
  readonly sessions = new Set<Session>();
  #lookedAt = 0;

  constructor(options: ClientOptions) {
    // Callers in JavaScript have no compiler.
    if (!(options as unknown) || typeof options !== 'object') throw invalid('a client needs options: { endpoints: [...] }');
    this.log = new Log(options.log);
    this.timeoutMs = options.timeoutMs ?? DEFAULT_TIMEOUT_MS;
    checkTimeout(this.timeoutMs);
    const tls = options.tls === undefined ? undefined : new TlsFiles(options.tls, this.log);
    const context = { tls, onMessage: () => this.#look() };
    const addresses = parseEndpoints(options.endpoints, tls !== undefined);
    this.rotation = new Rotation(addresses.map((address) => new Endpoint(address, context, this.connected, this.log)));
    this.calls = new Calls(this.rotation, this.timeoutMs);
    const { user, password } = options;
    if (user === undefined) return;
    if (user === '' || password === undefined) throw invalid('user and password belong together; set both or none');
    const logins = new Calls(this.rotation, LOGIN_TIMEOUT_MS);
    this.calls.login = new Login(async () => {
      const call = { method: AuthService.authenticate, request: { name: user, password }, isWrite: false };
      return (await logins.make(call, {}, this.connected)).response.token;
    });
  }

  /** Makes a unary call for the user. */
  async call<Q, A>(call: Call<Q, A>, options: WaitOptions = {}): Promise<A> {
    return (await this.answer(call, options)).response;
  }

  answer<Q, A>(call: Call<Q, A>, options: WaitOptions = {}): Promise<Answer<A>> {
    return this.calls.make(call, options, this.open, this.connected);
  }

  /** Makes a unary call as a step of something longer, which it ends with. */
  async step<Q, A>(call: Call<Q, A>, scope: Lifetime): Promise<A> {
    return (await this.calls.make(call, {}, scope, this.connected)).response;
  }

  /** Makes a unary call that must also work while the client is being closed. */
  async lastCall<Q, A>(call: Call<Q, A>, options: WaitOptions = {}): Promise<A> {
    return (await this.calls.make(call, options, this.connected)).response;
  }

  opener<Q, A>(method: Method<Q, A>, scope: Lifetime, connectMs?: number): StreamOpener<Q, A> {
    return new StreamOpener(method, this.rotation, this.calls, scope, connectMs);
  }

  /** After a pause of the process, sessions look at the clock before anything that has arrived is delivered (S3). */
  #look(): void {
    const now = performance.now();
    if (this.sessions.size === 0 || now - this.#lookedAt < LOOK_EVERY_MS) return;
    this.#lookedAt = now;
    const time = clock.now();
    for (const session of this.sessions) session.look(time);
  }

  async close(timeoutMs: number): Promise<void> {
    this.open.end(closed('client'));
    await Promise.all([...this.sessions].map((session) => session.close({ timeoutMs })));
    this.connected.end(closed('client'));
    // Sockets are destroyed in an immediate; after one more the event loop has seen their ends.
    await new Promise((resolve) => setImmediate(resolve));
    await new Promise((resolve) => setImmediate(resolve));
  }
}
