import { createHash, randomUUID } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { ServerOptions } from 'node:https';
import type { TestContext } from 'node:test';
import { Registries, type RegistryOptions } from '../../../src/registry/registries.js';
import type { RegistryRepository } from '../../../src/registry/repository.js';
import type { PullSource } from '../../../src/registry/pull-source.js';
import { parseRegistryReference } from '../../../src/spec/reference.js';
import { scratch } from '../scratch.js';
import { bodyOf, scriptedHttp, sendRanged, type RangedOptions, type ScriptedServer } from './scripted-http.js';

export const MANIFEST = 'application/vnd.oci.image.manifest.v1+json';
export const INDEX = 'application/vnd.oci.image.index.v1+json';

/** Answers a request and returns true, or leaves it to the registry. */
export type Fault = (request: IncomingMessage, response: ServerResponse, number: number) => boolean | Promise<boolean>;

export interface ScriptedRegistryOptions {
  fault?: Fault;
  tls?: ServerOptions;
  ranges?: RangedOptions;
  /** Basic with user:secret */
  basic?: boolean;
  /** Bearer: the value of WWW-Authenticate, and which tokens are good */
  bearer?: { challenge: () => string; accepts: (token: string, request: IncomingMessage) => boolean };
  /** `GET` of an upload tells how far it is */
  uploadStatus?: boolean;
  mounts?: boolean;
  /** default 127.0.0.1 */
  address?: string;
  relativeLocations?: boolean;
  /** it lists what refers to a manifest */
  referrers?: boolean;
}

export interface ScriptedRegistry extends ScriptedServer {
  blobs: Map<string, Buffer>;
  manifests: Map<string, { bytes: Buffer; type: string }>;
  uploads: Map<string, Buffer>;
  /** bytes of bodies that came with PATCH and PUT of blobs */
  received: number;
  /** how many of these bodies are being read: what came of one counts when it ends, however it does */
  reading: number;
  addBlob(bytes: Buffer): { digest: string; size: number };
  addManifest(json: unknown, tag?: string, type?: string): string;
}

export function sha256(bytes: Buffer): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
}

/** A registry in memory that knows one repository, `a/b`, until the test is over. */
export async function scriptedRegistry(
  t: TestContext,
  options: ScriptedRegistryOptions = {},
): Promise<ScriptedRegistry> {
  const state = {
    blobs: new Map<string, Buffer>(),
    manifests: new Map<string, { bytes: Buffer; type: string }>(),
    uploads: new Map<string, Buffer>(),
    received: 0,
    reading: 0,
  };
  const server = await scriptedHttp(
    t,
    async (request, response, number) => {
      if (options.fault !== undefined && (await options.fault(request, response, number))) return;
      if (!isAuthorized(request, response, options)) return;
      await answer(request, response);
    },
    options.tls,
    options.address,
  );
  const registry: ScriptedRegistry = Object.assign(server, state, {
    addBlob(bytes: Buffer) {
      const digest = sha256(bytes);
      state.blobs.set(digest, bytes);
      return { digest, size: bytes.length };
    },
    addManifest(json: unknown, tag?: string, type = MANIFEST) {
      const bytes = Buffer.isBuffer(json) ? json : Buffer.from(JSON.stringify(json));
      const digest = sha256(bytes);
      for (const name of [digest, ...(tag === undefined ? [] : [tag])]) state.manifests.set(name, { bytes, type });
      return digest;
    },
  });

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '', server.origin);
    const [, kind, name = ''] =
      /^\/v2\/a\/b\/(manifests|blobs\/uploads|blobs|tags|referrers)\/(.*)$/.exec(url.pathname) ?? [];
    if (url.pathname === '/v2/') return void response.end('{}');
    if (kind === 'manifests') return answerManifest(request, response, name);
    if (kind === 'blobs') {
      const blob = state.blobs.get(name);
      if (blob === undefined) return no(response, 404, 'BLOB_UNKNOWN');
      if (request.method === 'HEAD') return void response.writeHead(200, { 'content-length': blob.length }).end();
      server.sent += await sendRanged(request, response, blob, options.ranges);
      return;
    }
    if (kind === 'referrers' && options.referrers)
      return answerReferrers(response, name, url.searchParams.get('artifactType'));
    if (kind === 'blobs/uploads') return answerUpload(request, response, name, url);
    if (kind === 'tags')
      return void response.end(
        JSON.stringify({ name: 'a/b', tags: [...state.manifests.keys()].filter((key) => !key.includes(':')) }),
      );
    response.writeHead(404).end('404 page not found\n');
  }

  async function answerManifest(request: IncomingMessage, response: ServerResponse, name: string): Promise<void> {
    if (request.method === 'PUT') {
      const bytes = await bodyOf(request);
      state.manifests.set(name, { bytes, type: request.headers['content-type'] ?? '' });
      state.manifests.set(sha256(bytes), { bytes, type: request.headers['content-type'] ?? '' });
      const subject = options.referrers ? parsed(bytes).subject?.digest : undefined;
      const known = subject === undefined ? {} : { 'oci-subject': subject };
      return void response.writeHead(201, { 'docker-content-digest': sha256(bytes), ...known }).end();
    }
    const manifest = state.manifests.get(name);
    if (manifest === undefined) return no(response, 404, 'MANIFEST_UNKNOWN');
    response
      .writeHead(200, { 'content-type': manifest.type, 'docker-content-digest': sha256(manifest.bytes) })
      .end(request.method === 'HEAD' ? undefined : manifest.bytes);
  }

  function answerReferrers(response: ServerResponse, subject: string, wanted: string | null): void {
    const listed = [...state.manifests].flatMap(([digest, { bytes, type }]) => {
      const { subject: its, artifactType, annotations } = parsed(bytes);
      const meant = digest === sha256(bytes) && its?.digest === subject && (wanted ?? artifactType) === artifactType;
      return meant ? [{ mediaType: type, digest, size: bytes.length, artifactType, annotations }] : [];
    });
    response
      .writeHead(200, { 'content-type': INDEX })
      .end(JSON.stringify({ schemaVersion: 2, mediaType: INDEX, manifests: listed }));
  }

  async function answerUpload(request: IncomingMessage, response: ServerResponse, id: string, url: URL): Promise<void> {
    const locate = (upload: string): string =>
      `${options.relativeLocations ? '' : server.origin}/v2/a/b/blobs/uploads/${upload}?_state=${encodeURIComponent('a+b/c=')}`;
    if (request.method === 'POST') {
      const mount = url.searchParams.get('mount');
      if (mount !== null && options.mounts && url.searchParams.get('from') === 'other/repo') {
        state.blobs.set(mount, Buffer.alloc(0));
        return void response.writeHead(201).end();
      }
      const upload = randomUUID();
      state.uploads.set(upload, Buffer.alloc(0));
      return void response.writeHead(202, { location: locate(upload), range: '0-0' }).end();
    }
    const before = state.uploads.get(id);
    if (before === undefined || !(request.url ?? '').includes('_state=a%2Bb%2Fc%3D'))
      return no(response, 404, 'BLOB_UPLOAD_UNKNOWN');
    const range = (bytes: Buffer): string => `0-${Math.max(0, bytes.length - 1)}`;
    if (request.method === 'GET') {
      if (options.uploadStatus === false) return no(response, 400, 'NAME_INVALID');
      return void response.writeHead(204, { location: locate(id), range: range(before) }).end();
    }
    const from = /^(\d+)-/.exec(request.headers['content-range'] ?? '')?.[1];
    if (from !== undefined && Number(from) !== before.length) return no(response, 416, 'BLOB_UPLOAD_INVALID');
    let all = before;
    registry.reading++;
    try {
      for await (const piece of request) {
        registry.received += (piece as Buffer).length;
        all = Buffer.concat([all, piece as Buffer]);
      }
    } catch {
      // Cut off: what has arrived stays.
    }
    state.uploads.set(id, all);
    registry.reading--;
    if (request.destroyed && !request.complete) return;
    if (request.method === 'PATCH')
      return void response.writeHead(202, { location: locate(id), range: range(all) }).end();
    if (sha256(all) !== url.searchParams.get('digest')) return no(response, 400, 'DIGEST_INVALID');
    state.uploads.delete(id);
    state.blobs.set(sha256(all), all);
    response.writeHead(201, { 'docker-content-digest': sha256(all) }).end();
  }
  return registry;
}

interface Referring {
  subject?: { digest: string };
  artifactType?: string;
  annotations?: Record<string, string>;
}

function parsed(manifest: Buffer): Referring {
  return JSON.parse(manifest.toString()) as Referring;
}

function isAuthorized(
  request: IncomingMessage,
  response: ServerResponse,
  { basic, bearer }: ScriptedRegistryOptions,
): boolean {
  const { authorization = '' } = request.headers;
  if (basic && authorization !== `Basic ${Buffer.from('user:secret').toString('base64')}`) {
    response.setHeader('www-authenticate', 'Basic realm="here"');
    return no(response, 401, 'UNAUTHORIZED') ?? false;
  }
  if (bearer && (request.url === '/v2/' || !bearer.accepts(authorization.replace('Bearer ', ''), request))) {
    response.setHeader('www-authenticate', bearer.challenge());
    return no(response, 401, 'UNAUTHORIZED') ?? false;
  }
  return true;
}

/** Says no, as registries do. */
export function no(response: ServerResponse, status: number, code: string, message = 'no'): void {
  response
    .writeHead(status, { 'content-type': 'application/json' })
    .end(JSON.stringify({ errors: [{ code, message }] }));
}

export interface Surrounded {
  env?: NodeJS.ProcessEnv;
  files?: Readonly<Record<string, string | Buffer>>;
}

/** All registries, for a user whose home and system hold only these files. */
export function registriesFor(
  t: TestContext,
  { env = {}, files = {} }: Surrounded = {},
  options: Partial<RegistryOptions> = {},
): { registries: Registries; root: string } {
  const root = scratch(t, files);
  const registries = new Registries({
    surroundings: { env, uid: 0, home: `${root}/home`, systemRoot: root },
    agent: 'test',
    tlsVerify: false,
    retryMs: 1,
    idleMs: 1000,
    ...options,
  });
  t.after(() => registries[Symbol.asyncDispose]());
  return { registries, root };
}

/** `a/b:latest`, or what else is named, at a scripted registry. */
export function sourceOf(
  t: TestContext,
  server: ScriptedServer,
  options: Partial<RegistryOptions> = {},
  rest = 'a/b:latest',
): PullSource {
  return registriesFor(t, {}, options).registries.source(parseRegistryReference(`${server.host}/${rest}`));
}

export function destinationOf(
  t: TestContext,
  server: ScriptedServer,
  options: Partial<RegistryOptions> = {},
): RegistryRepository {
  return registriesFor(t, {}, options).registries.destination(parseRegistryReference(`${server.host}/a/b`)).repository;
}
