import { Metadata, experimental, status } from '@grpc/grpc-js';
import type { Client } from './client.js';
import { asError } from './errors.js';
import { Discovery } from './recipes/discovery.js';

const { registerResolver, statusOrFromError, statusOrFromValue } = experimental;

/**
 * Lets grpc-js resolve `conclave:///service` to the addresses that the service has registered (K14), and follow their changes. The
 * client must stay open as long as channels use it. Built on the experimental part of grpc-js.
 *
 *     registerConclaveResolver(client);
 *     const greeter = new GreeterClient('conclave:///greeter', credentials.createInsecure());
 */
export function registerConclaveResolver(client: Client, scheme = 'conclave'): void {
  registerResolver(
    scheme,
    class extends ServiceResolver {
      constructor(target: experimental.GrpcUri, listener: experimental.ResolverListener) {
        super(client, target, listener);
      }

      static getDefaultAuthority(target: experimental.GrpcUri): string {
        return serviceOf(target);
      }
    },
  );
}

function serviceOf(target: experimental.GrpcUri): string {
  return target.path.replace(/^\//, '');
}

/** Pause after the addresses could not be read. */
const AGAIN_MS = 1_000;

class ServiceResolver implements experimental.Resolver {
  readonly #client: Client;
  readonly #service: string;
  readonly #listener: experimental.ResolverListener;
  #stop: AbortController | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(client: Client, target: experimental.GrpcUri, listener: experimental.ResolverListener) {
    this.#client = client;
    this.#service = serviceOf(target);
    this.#listener = listener;
  }

  /** The addresses are followed from the first request on, so a later one has nothing to do. */
  updateResolution(): void {
    if (this.#stop !== undefined) return;
    const stop = new AbortController();
    this.#stop = stop;
    void this.#follow(stop.signal);
  }

  async #follow(signal: AbortSignal): Promise<void> {
    try {
      for await (const addresses of new Discovery(this.#client).listen(this.#service, { signal })) {
        const endpoints = addresses.map(({ address }) => ({ addresses: [toSocketAddress(address)] }));
        if (endpoints.length > 0) this.#listener(statusOrFromValue(endpoints), {}, null, '');
        else this.#fail(`no address of ${this.#service} is registered`);
      }
    } catch (error) {
      this.#fail(asError(error).message);
      this.#stop = undefined;
      this.#timer = setTimeout(() => this.updateResolution(), AGAIN_MS);
      this.#timer.unref();
    }
  }

  #fail(details: string): void {
    this.#listener(statusOrFromError({ code: status.UNAVAILABLE, details, metadata: new Metadata() }), {}, null, '');
  }

  destroy(): void {
    clearTimeout(this.#timer);
    this.#stop?.abort();
  }
}

function toSocketAddress(address: string): experimental.SubchannelAddress {
  const parts = experimental.splitHostPort(address);
  return { host: parts?.host ?? address, port: parts?.port ?? 443 };
}
