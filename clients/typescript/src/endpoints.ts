import { isIP } from 'node:net';
import { invalid } from './errors.js';

/** A server's address. */
export interface Address {
  /** As the user gave it. */
  readonly url: string;
  /** Target in grpc-js's notation. */
  readonly target: string;
  readonly isSecure: boolean;
  /** Name that the server's certificate must have. */
  readonly host: string;
}

/** Parses the endpoints of a client (C1). `hasTls` decides about endpoints without a scheme. */
export function parseEndpoints(endpoints: readonly string[], hasTls: boolean): Address[] {
  // Callers in JavaScript have no compiler.
  if (!(endpoints as unknown)) throw invalid('endpoints is absent; give a list such as ["http://127.0.0.1:2379"]');
  if (!Array.isArray(endpoints) || !endpoints.every((url) => typeof url === 'string')) throw invalid('endpoints is a list of strings');
  if (endpoints.length === 0) throw invalid('no endpoint was given; give at least one, such as http://127.0.0.1:2379');
  return endpoints.map((url) => parse(url.trim(), hasTls));
}

function parse(url: string, hasTls: boolean): Address {
  const unix = /^(unixs?):\/\/(\/.*[^/])\/?$/i.exec(url);
  // No path has a zero byte.
  if (unix?.[2] !== undefined && !url.includes('\0')) {
    const isSecure = unix[1]?.toLowerCase() === 'unixs';
    if (isSecure && !hasTls) throw needsTrust(url);
    return { url, target: `unix:${unix[2]}`, isSecure, host: 'localhost' };
  }
  const match = /^(?:(https?):\/\/)?(\[[0-9a-fA-F:.]+\]|[\p{L}\p{N}._-]+):(\d{1,5})\/?$/iu.exec(url);
  const [, scheme, bracketed = '', port = ''] = match ?? [];
  const host = bracketed.replace(/^\[|\]$/g, '');
  const isBadHost = bracketed.startsWith('[') && isIP(host) !== 6;
  if (match === null || isBadHost || Number(port) < 1 || Number(port) > 65_535) {
    throw invalid(`endpoint "${url}" is not of the form http://host:port, https://host:port, unix:///path, unixs:///path or host:port`);
  }
  const isSecure = scheme === undefined ? hasTls : scheme.toLowerCase() === 'https';
  if (isSecure && !hasTls) throw needsTrust(url);
  const target = bracketed.startsWith('[') ? `ipv6:${bracketed}:${port}` : `dns:${host}:${port}`;
  return { url, target, isSecure, host };
}

function needsTrust(url: string): Error {
  return invalid(`endpoint "${url}" needs a CA to trust: set tls.caFile (the system's CAs are not used)`);
}
