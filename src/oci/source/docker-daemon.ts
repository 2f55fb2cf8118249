// The images of docker, or of what speaks as docker does: `podman system service`.
import * as z from 'zod';
import type { Abortable } from '../../abortable.js';
import { printable } from '../../bytes.js';
import { decompressAny } from '../../compress/decompress.js';
import { debug } from '../../debug.js';
import { BridgeError, FormatError, NotFoundError } from '../../errors.js';
import type { ByteSource } from '../../fd/byte-source.js';
import { HttpClient } from '../../http/client.js';
import { HttpError } from '../../http/http-error.js';
import type { HttpResponse } from '../../http/response.js';
import { REFUSAL_LIMIT } from '../../limits.js';
import type { Admit } from '../../registry/policy/image-to-check.js';
import { dockerScopes } from '../../registry/policy/scopes.js';
import { parseName } from '../../registry/policy/signed-identity.js';
import { isDigest } from '../../spec/manifest.js';
import { parseRegistryReference, showReference } from '../../spec/reference.js';
import { VERSION } from '../../version.js';
import { ArchiveFiles } from './blobs/archive-files.js';
import { roomForCopy } from './blobs/nameless-copy.js';
import { dockerArchiveImage } from './docker-archive.js';
import type { ImageSource } from './source.js';

const SOCKET = '/var/run/docker.sock';
/** The daemon writes all of an image to its own disk before the first byte comes. */
const SILENCE_MS = 600_000;
/** Of a daemon's message; it is for people. */
const SHOWN = 300;

const refusal = z.object({ message: z.string() });

export interface DaemonImageOptions extends Abortable {
  /** where DOCKER_HOST comes from; default: this process's */
  env?: NodeJS.ProcessEnv | undefined;
  /** most bytes of the image as an archive; default: what fits into TMPDIR, with some room left for others */
  limit?: number | undefined;
  /** most milliseconds without a byte, default ten minutes */
  idleMs?: number | undefined;
  /** decides whether the image may come in; default: it may */
  admit?: Admit | undefined;
}

/**
 * An image of the daemon behind DOCKER_HOST. It comes as a docker archive, which is kept in a file without a name.
 * @param image its name, completed as docker does, or its id, `sha256:` and 64 hexadecimal digits
 * @throws as `openDockerArchive`; NotFoundError when there is no such image; BridgeError `DAEMON` when there is no
 *   daemon, or it fails, `NO_SPACE`; FormatError `BAD_REFERENCE`
 */
export async function openDaemonImage(image: string, options: DaemonImageOptions = {}): Promise<ImageSource> {
  const { env = process.env, limit = roomForCopy(), idleMs = SILENCE_MS, signal, admit } = options;
  const name = nameForDaemon(image);
  const socketPath = socketOf(env['DOCKER_HOST']);
  await using client = new HttpClient({ agent: `composefs-bridge/${VERSION}`, env: {}, socketPath, idleMs });
  const files = await daemonAt(socketPath, async () => {
    const url = new URL(`http://docker/images/${name}/get`);
    await using response = await client.request({ url, retry: false, signal });
    if (response.status !== 200) throw await refused(response, socketPath, name);
    await using archive = archiveIn(response, name);
    return await ArchiveFiles.received(archive, {
      shown: `the archive of ${name}`,
      why: `the archive of ${name} has to be kept in a file`,
      limit,
      signal,
    });
  });
  debug(() => `docker-daemon: ${name} comes from ${socketPath}`);
  const subject = {
    transport: 'docker-daemon',
    // Under its id an image is in no scope but that of all.
    scopes: isDigest(name) ? [] : dockerScopes(name),
    name: isDigest(name) ? undefined : parseName(name),
    shown: `docker-daemon:${name}`,
  };
  return await dockerArchiveImage(files, undefined, subject, { signal, admit });
}

/** In full: of a name without a tag the daemon would send the images of all tags. */
function nameForDaemon(image: string): string {
  return isDigest(image) ? image : showReference(parseRegistryReference(image));
}

function socketOf(host: string | undefined): string {
  if (host === undefined || host === '') return SOCKET;
  const path = /^unix:\/\/(\/[^\0]*)$/.exec(host)?.[1];
  if (path === undefined)
    throw new BridgeError('DAEMON', `DOCKER_HOST is "${printable(host)}"; only unix:///PATH can be connected to`);
  return path;
}

/** Errors of the connection say where it goes instead of a URL that nobody wrote. */
async function daemonAt<T>(socketPath: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    if (!(cause instanceof HttpError)) throw cause;
    const reason = cause.message.slice(cause.message.indexOf(': ') + 2);
    const advice = cause.code === 'HTTP_CONNECT' ? '; DOCKER_HOST=unix:///PATH names the socket of another daemon' : '';
    throw new BridgeError('DAEMON', `the daemon at ${socketPath}: ${reason}${advice}`, { cause });
  }
}

async function refused(response: HttpResponse, socketPath: string, name: string): Promise<BridgeError> {
  const { status } = response;
  const said = messageOf((await response.beginning(REFUSAL_LIMIT)).toString('utf8'));
  const reason = `${said === '' ? '' : `${said} `}(status ${status})`;
  return status === 404
    ? new NotFoundError(`the daemon at ${socketPath} has no image "${name}": ${reason}`)
    : new BridgeError('DAEMON', `the daemon at ${socketPath} does not give "${name}": ${reason}`);
}

function messageOf(body: string): string {
  let text: string;
  try {
    text = refusal.parse(JSON.parse(body)).message;
  } catch {
    // Something else than a daemon may listen there; its page is not worth showing.
    text = /^\s*</.test(body) ? 'a page' : body;
  }
  const line = text.replace(/\s+/g, ' ').trim();
  return printable(line.length > SHOWN ? `${line.slice(0, SHOWN)}…` : line);
}

function archiveIn(response: HttpResponse, name: string): ByteSource {
  const content: ByteSource = {
    [Symbol.asyncIterator]: () => response.content(),
    // The response is disposed by whoever made the request.
    [Symbol.asyncDispose]: async () => undefined,
  };
  return decompressAny(
    content,
    (error) => new FormatError(error.code, `the archive of ${name}: ${error.message}`, { cause: error }),
  );
}
