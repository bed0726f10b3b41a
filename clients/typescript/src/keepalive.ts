import { clock } from './clock.js';
import type { Core } from './core.js';
import { asError, unavailable } from './errors.js';
import { type LeaseKeepAliveRequest, type LeaseKeepAliveResponse, LeaseService } from './gen/etcd/rpc.js';
import type { Lifetime } from './scope.js';
import type { Stream } from './stream.js';

/** Events of the keep-alives of a session. */
export interface KeepAliveEvents {
  /** A keep-alive that was sent at this time was confirmed. */
  confirmed(sentAt: number, ttlMs: number): void;
  /** The stream broke. */
  broke(): void;
  /** The server says that the lease does not exist. */
  gone(reason: string): void;
}

type LeaseStream = Stream<LeaseKeepAliveRequest, LeaseKeepAliveResponse>;

/**
 * Sends the keep-alives of one lease (S1): every third of the TTL, and at once on a new stream. A stream that breaks or does not
 * answer within a third of the TTL is replaced by one to another endpoint.
 */
export class KeepAlive {
  constructor(
    private readonly core: Core,
    private readonly lifetime: Lifetime,
    private readonly lease: bigint,
    private readonly ttlMs: () => number,
    private readonly events: KeepAliveEvents,
  ) {}

  /** Runs until the session ends. Never rejects. */
  async run(): Promise<void> {
    // The first keep-alive is due a third of the TTL after the grant, but a stream takes time to open, and a lease that cannot be
    // kept alive should be noticed early. So it is opened at once.
    const opener = this.core.opener(LeaseService.leaseKeepAlive, this.lifetime, this.ttlMs() / 3);
    while (!this.lifetime.isOver()) {
      try {
        const stream = await opener.open();
        await this.#use(stream, () => opener.works(stream), (text) => opener.forgetRefused(stream, text));
      } catch (error) {
        if (this.lifetime.isOver()) return;
        // A refused login. The next attempt may have another password or another state of the cluster.
        this.core.log.write('warn', 'no stream for keep-alives', error);
        this.events.broke();
        await this.lifetime.sleep(100).catch(() => undefined);
      }
    }
  }

  /** Uses a stream until it breaks. */
  async #use(stream: LeaseStream, works: () => void, forgetRefused: (text: string) => boolean): Promise<void> {
    const beats = new Beats(stream, this.lease, this.ttlMs);
    const removeListener = this.lifetime.onEnd((reason) => stream.cancel(reason));
    try {
      for (;;) {
        const response = await stream.next();
        const sentAt = beats.answered();
        if (response.TTL <= 0n) {
          this.events.gone('the server does not know its lease');
          return;
        }
        if (sentAt === undefined) continue;
        works();
        this.events.confirmed(sentAt, Number(response.TTL) * 1000);
      }
    } catch (thrown) {
      if (this.lifetime.isOver()) return;
      const error = asError(thrown);
      if (error.apiName === 'LeaseNotFound') this.events.gone('the server does not know its lease');
      else if (!forgetRefused(error.message)) this.events.broke();
    } finally {
      removeListener();
      beats.stop();
      stream.cancel(unavailable('another stream is opened'));
    }
  }
}

/** Sends on one stream. Answers come in the order of the requests. */
class Beats {
  readonly #sent: number[] = [];
  #timer: NodeJS.Timeout;
  #immediate: NodeJS.Immediate | undefined;

  constructor(
    private readonly stream: LeaseStream,
    private readonly lease: bigint,
    private readonly ttlMs: () => number,
  ) {
    this.#timer = this.#beat();
  }

  #beat(): NodeJS.Timeout {
    this.#sent.push(clock.now());
    this.stream.send({ ID: this.lease });
    // The event loop reads sockets between a timer and an immediate: an answer that came while it was blocked counts.
    return setTimeout(() => (this.#immediate = setImmediate(() => this.#due())), this.ttlMs() / 3);
  }

  #due(): void {
    if (this.#sent.length === 0) {
      this.#timer = this.#beat();
      return;
    }
    this.stream.endpoint.suspect(this.stream.connection);
    this.stream.cancel(unavailable('a keep-alive was not answered'));
  }

  /** Returns the time at which the answered request was sent. */
  answered(): number | undefined {
    return this.#sent.shift();
  }

  stop(): void {
    clearTimeout(this.#timer);
    clearImmediate(this.#immediate);
  }
}
