import type { Client } from '../client.js';
import type { KeyValue } from '../gen/etcd/kv.js';
import type { WaitOptions } from '../scope.js';
import type { Session } from '../session.js';
import { type ObserveOptions, type Table, observe } from './follow.js';
import { Membership } from './group.js';
import { toName } from './steps.js';

/** An address of a service. */
export interface ServiceAddress {
  /** `host:port`. */
  readonly address: string;
  /** JSON that the service registered with the address. */
  readonly metadata: unknown;
}

/** Addresses of services (K14), in the format of the package `naming` of etcd's Go client. */
export class Discovery {
  readonly #client: Client;

  constructor(client: Client) {
    this.#client = client;
  }

  /** Registers an address with a session, for as long as it lives. */
  register(
    session: Session,
    service: string,
    address: string,
    options: WaitOptions & { readonly metadata?: unknown } = {},
  ): Promise<Membership> {
    const value = JSON.stringify({ Op: 0, Addr: toName(address), Metadata: options.metadata ?? null });
    return Membership.create(session, `${toName(service)}/${address}`, value, options);
  }

  /** The present addresses of a service, in their order. */
  async list(service: string, options: WaitOptions = {}): Promise<ServiceAddress[]> {
    return toAddresses((await this.#client.list({ prefix: `${toName(service)}/` }, options)).kvs);
  }

  /** The present addresses, then the addresses after every change. Changes in quick succession may be merged. */
  listen(service: string, options: ObserveOptions = {}): AsyncGenerator<ServiceAddress[], void, void> {
    const view = (table: Table) => toAddresses(table.byKey());
    return observe(this.#client.core, { prefix: `${toName(service)}/` }, options, view, () => false);
  }
}

/** Values that others wrote and that are no address are left out. */
function toAddresses(kvs: KeyValue[]): ServiceAddress[] {
  const addresses = kvs.flatMap(({ value }) => {
    try {
      const parsed = JSON.parse(value.toString()) as { Addr?: unknown; Metadata?: unknown } | null;
      return typeof parsed?.Addr === 'string' ? [{ address: parsed.Addr, metadata: parsed.Metadata }] : [];
    } catch {
      return [];
    }
  });
  return addresses.sort((a, b) => (a.address < b.address ? -1 : 1));
}
