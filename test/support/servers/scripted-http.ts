import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { TestContext } from 'node:test';
import type { ServerOptions } from 'node:https';

/** One request as it arrived. */
interface Received {
  method: string;
  /** with its query */
  url: string;
  headers: IncomingMessage['headers'];
}

export interface ScriptedServer {
  /** bytes of blobs that were sent, if the handler counts them */
  sent: number;
  /** `http://127.0.0.1:PORT` */
  origin: string;
  /** `127.0.0.1:PORT` */
  host: string;
  requests: Received[];
  /** `GET /path` of each request */
  lines(): string[];
}

export type Handler = (request: IncomingMessage, response: ServerResponse, number: number) => void | Promise<void>;

/** A server on this machine that answers as `handler` says, until the test is over. */
export async function scriptedHttp(
  t: TestContext,
  handler: Handler,
  tls?: ServerOptions,
  address = '127.0.0.1',
): Promise<ScriptedServer> {
  const requests: Received[] = [];
  const listener = (request: IncomingMessage, response: ServerResponse): void => {
    // A client that goes away is part of most tests.
    for (const stream of [request, response]) stream.on('error', () => undefined);
    requests.push({ method: request.method ?? '', url: request.url ?? '', headers: request.headers });
    Promise.resolve()
      .then(() => handler(request, response, requests.length))
      .catch((error: unknown) => {
        console.error('the scripted server failed:', error);
        response.destroy();
      });
  };
  const server = tls ? createTlsServer(tls, listener) : createServer(listener);
  server.on('tlsClientError', () => undefined);
  server.listen(0, address);
  await once(server, 'listening');
  t.after(async () => {
    server.closeAllConnections();
    server.close();
    await once(server, 'close');
  });
  const host = `${address.includes(':') ? `[${address}]` : address}:${(server.address() as AddressInfo).port}`;
  return {
    origin: `${tls ? 'https' : 'http'}://${host}`,
    host,
    requests,
    sent: 0,
    lines: () => requests.map(({ method, url }) => `${method} ${url}`),
  };
}

/** All of a request's body. */
export async function bodyOf(request: IncomingMessage): Promise<Buffer> {
  const pieces: Buffer[] = [];
  for await (const piece of request) pieces.push(piece as Buffer);
  return Buffer.concat(pieces);
}

export interface RangedOptions {
  /** each connection is cut after so many bytes of the body */
  cutEvery?: number;
  etag?: string;
  /** bytes in a second, default as many as go */
  rate?: number;
  /** what to do with Range: default give the part */
  ranges?: 'yes' | 'ignored' | 'refused' | 'wrong' | 'closed';
}

/** Answers with a body as servers of files do, with their faults. @returns how many bytes of the body were sent */
export async function sendRanged(
  request: IncomingMessage,
  response: ServerResponse,
  body: Buffer,
  { cutEvery, etag, rate, ranges = 'yes' }: RangedOptions = {},
): Promise<number> {
  const [, from, to] = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? '') ?? [];
  let part = body;
  if (from !== undefined && (ranges === 'refused' || (ranges === 'closed' && to === ''))) {
    response.writeHead(416).end();
    return 0;
  }
  if (from !== undefined && ranges !== 'ignored') {
    part = body.subarray(Number(from), to ? Number(to) + 1 : undefined);
    const start = ranges === 'wrong' ? 0 : Number(from);
    response.statusCode = 206;
    response.setHeader('content-range', `bytes ${start}-${start + part.length - 1}/${body.length}`);
  }
  if (etag !== undefined) response.setHeader('etag', etag);
  response.setHeader('content-length', part.length);
  const sent = Math.min(part.length, cutEvery ?? Infinity);
  if (rate !== undefined) {
    return sendSlowly(response, part, rate);
  }
  if (sent === part.length) {
    response.end(part);
  } else {
    response.write(part.subarray(0, sent), () => response.socket?.end());
  }
  return sent;
}

const SLOW_MS = 10;

async function sendSlowly(response: ServerResponse, bytes: Buffer, rate: number): Promise<number> {
  const step = Math.ceil((rate * SLOW_MS) / 1000);
  for (let at = 0; at < bytes.length; at += step) {
    if (response.destroyed) return at;
    response.write(bytes.subarray(at, at + step));
    do await sleep(SLOW_MS);
    while (response.writableNeedDrain && !response.destroyed);
  }
  response.end();
  return bytes.length;
}

/** Sends the same bytes again and again until the client goes away. @returns how many were sent so far */
export function endless(response: ServerResponse, piece: Buffer): { sent: number } {
  const counted = { sent: 0 };
  const more = (error?: Error | null): void => {
    if (error || response.destroyed) return;
    counted.sent += piece.length;
    response.write(piece, more);
  };
  more();
  return counted;
}
