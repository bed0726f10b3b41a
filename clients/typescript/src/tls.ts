import { readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { isIP, type Socket } from 'node:net';
import { checkServerIdentity, connect, createSecureContext, type SecureContext, type TLSSocket } from 'node:tls';
import { invalid } from './errors.js';
import type { Log } from './log.js';

/** TLS of a client. The files are PEM, and are read again for every new connection. */
export interface TlsOptions {
  /** Certificates of the CAs to trust. The system's are not used. */
  readonly caFile: string;
  /** The client's certificate, with its chain. */
  readonly certFile?: string | undefined;
  /** The key of the client's certificate. */
  readonly keyFile?: string | undefined;
  /** Name to expect in the servers' certificates, instead of the endpoint's host. */
  readonly serverName?: string | undefined;
}

interface Pem { ca: Buffer; cert?: Buffer; key?: Buffer }

/** The files of a client's TLS (C5). If they cannot be used for a new connection, the former ones are. */
export class TlsFiles {
  readonly #options: TlsOptions;
  readonly #log: Log;
  #context: SecureContext;

  constructor(options: TlsOptions, log: Log) {
    this.#options = options;
    this.#log = log;
    if ((options.certFile === undefined) !== (options.keyFile === undefined)) {
      throw invalid('tls.certFile and tls.keyFile belong together; set both or none');
    }
    const read = (file: string) => {
      try {
        return readFileSync(file);
      } catch (error) {
        throw invalid(`TLS file "${file}" cannot be read: ${(error as Error).message}`);
      }
    };
    const pem: Pem = { ca: read(options.caFile) };
    if (options.certFile !== undefined) pem.cert = read(options.certFile);
    if (options.keyFile !== undefined) pem.key = read(options.keyFile);
    this.#context = this.#create(pem);
  }

  /** Makes a TLS connection of a connected socket. */
  async connect(socket: Socket, host: string): Promise<TLSSocket> {
    await this.#reload();
    const name = this.#options.serverName ?? host;
    return new Promise((resolve, reject) => {
      const tls = connect({
        socket,
        secureContext: this.#context,
        host: name,
        // RFC 6066 has no IP addresses in server names; the certificate is checked against `name` all the same.
        servername: isIP(name) === 0 ? name : '',
        checkServerIdentity: (_, certificate) => checkServerIdentity(name, certificate),
        ALPNProtocols: ['h2'],
      });
      tls.once('secureConnect', () => resolve(tls));
      // Stays: a server that refuses the client's certificate says so only after the handshake, when nobody else listens yet.
      tls.on('error', reject);
      tls.once('close', () => reject(new Error('the server closed the connection during the TLS handshake')));
    });
  }

  async #reload(): Promise<void> {
    const { caFile, certFile, keyFile } = this.#options;
    try {
      const pem: Pem = { ca: await readFile(caFile) };
      if (certFile !== undefined) pem.cert = await readFile(certFile);
      if (keyFile !== undefined) pem.key = await readFile(keyFile);
      this.#context = this.#create(pem);
    } catch (error) {
      this.#log.write('warn', 'the TLS files cannot be used; the former ones are', error);
    }
  }

  #create(pem: Pem): SecureContext {
    const { caFile, certFile, keyFile } = this.#options;
    try {
      if (!pem.ca.includes('-----BEGIN CERTIFICATE-----')) throw new Error(`"${caFile}" has no certificate`);
      return createSecureContext({ ...pem, minVersion: 'TLSv1.2' });
    } catch (error) {
      const files = [caFile, certFile, keyFile].filter((file) => file !== undefined).join(', ');
      throw invalid(`TLS files cannot be used (${files}): ${(error as Error).message}`);
    }
  }
}
