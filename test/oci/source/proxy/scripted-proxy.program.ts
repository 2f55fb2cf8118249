// An image proxy that does what a script says: LAYOUT IMAGE-JSON FAULTS-JSON, then what a client adds. It serves one
// image out of an OCI layout, in packets that it writes by itself, since it has to write them wrong.
import { createReadStream, openSync, statSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { pipe, type Pipe } from './pipes.js';
import { Fd, fromFd, socketpair } from '../../../../src/fd/fd-passing.js';

export interface ServedImage {
  manifest: string;
  /** of the manifest before it was converted; default: its own */
  announced?: string;
  config: string;
  layers: readonly { digest: string; size: number; media_type: string }[];
  /** what OpenVarlinkSocket serves */
  store?: { graphroot: string; name: string };
}

/** What goes wrong. */
export interface Faults {
  /** announced; default 0.2.8 */
  version?: string;
  /** the method that does not answer as it should, and what it does instead */
  at?: string;
  does?:
    | 'exits'
    | 'exits within the pipe'
    | 'is killed'
    | 'stalls'
    | 'stalls within the pipe'
    | 'refuses'
    | 'sends too little'
    | 'sends too much'
    | 'sends without end'
    | 'sends other bytes'
    | 'reports an error'
    | 'reports EPIPE'
    | 'reports nonsense'
    | 'reports without end'
    | 'sends a file'
    | 'sends a device'
    | 'finds nothing'
    | 'sends no socket';
  /** what it says before anything else */
  says?: string;
  /** a file with what it was asked, and its arguments in the first line */
  log?: string;
}

const [layout = '', imageJson = '', faultsJson = '', ...args] = process.argv.slice(2);
const image = JSON.parse(imageJson) as ServedImage;
const faults = JSON.parse(faultsJson) as Faults;
const minor = Number((faults.version ?? '0.2.8').split('.')[2]);
const log = (line: string): void => {
  if (faults.log !== undefined) writeFileSync(faults.log, `${line}\n`, { flag: 'a' });
};
log(JSON.stringify(args));
if (faults.says !== undefined) writeSync(2, faults.says);

using connection = fromFd(new Fd(0), { maxPacket: 32768 });
const pipes = new Map<number, { pipe: Pipe; written: Promise<string> }>();
let nextPipe = 10;

const blobFile = (digest: string): string => join(layout, 'blobs', digest.replace(':', '/'));

for (let packet; (packet = await connection.receive()) !== undefined; ) {
  const { method, args: given } = JSON.parse(packet.bytes.toString()) as { method: string; args: unknown[] };
  log(method);
  const wrong = faults.at === method ? faults.does : undefined;
  if (wrong === 'exits') process.exit(3);
  if (wrong === 'is killed') process.kill(process.pid, 'SIGKILL');
  if (wrong === 'stalls') await new Promise((resolve) => setTimeout(resolve, 60_000));
  if (method === 'Shutdown') process.exit(0);
  if (wrong === 'refuses') {
    await reply(false, null, 0, [], `${method} is refused`);
    continue;
  }
  await answer(method, given, wrong);
}

async function answer(method: string, given: readonly unknown[], wrong: Faults['does']): Promise<void> {
  switch (method) {
    case 'Initialize':
      return reply(true, faults.version ?? '0.2.8');
    case 'OpenImage':
    case 'OpenImageOptional':
      return reply(true, wrong === 'finds nothing' ? 0 : 1);
    case 'GetManifest':
      return viaPipe(image.announced ?? image.manifest, blobFile(image.manifest), wrong);
    case 'GetFullConfig':
      return viaPipe(null, blobFile(image.config), wrong);
    case 'GetLayerInfo':
      return reply(true, image.layers);
    case 'GetLayerInfoPiped': {
      const file = `${blobFile(image.manifest)}.layers`;
      writeFileSync(file, JSON.stringify(image.layers));
      return viaPipe(null, file, wrong);
    }
    case 'GetBlob': {
      const file = blobFile(given[1] as string);
      return viaPipe(statSync(file).size, file, wrong, given[2] as number);
    }
    case 'GetRawBlob':
      return rawBlob(blobFile(given[1] as string), wrong);
    case 'FinishPipe': {
      const found = pipes.get(given[0] as number);
      if (found === undefined) return reply(false, null, 0, [], `finishpipe: no active pipe ${String(given[0])}`);
      pipes.delete(given[0] as number);
      const error = await found.written;
      found.pipe.close();
      return error === '' ? reply(true, null) : reply(false, null, 0, [], error);
    }
    case 'OpenVarlinkSocket':
      return socket(wrong);
    default:
      return reply(false, null, 0, [], `unknown method: ${method}`);
  }
}

async function reply(success: boolean, value: unknown, pipeid = 0, fds: readonly Fd[] = [], error = ''): Promise<void> {
  const code = minor < 8 ? {} : { error_code: success ? '' : 'other' };
  await connection.send(Buffer.from(JSON.stringify({ success, value, pipeid, ...code, error })), fds);
}

async function viaPipe(value: unknown, file: string, wrong: Faults['does'], expected?: number): Promise<void> {
  const content = pipe();
  const id = nextPipe++;
  await reply(true, value, id, [content.read]);
  content.read.close();
  const written = write(content, file, wrong).then((error) => {
    const { size } = statSync(file);
    if (error !== '' || expected === undefined || expected === size) return error;
    return `expected ${expected} bytes in blob, got ${size}`;
  });
  pipes.set(id, { pipe: content, written });
}

/** Writes into a pipe what the script says. @returns the error to report */
async function write(content: Pipe, file: string, wrong: Faults['does']): Promise<string> {
  const size = statSync(file).size;
  const whole = wrong !== 'sends too little' && wrong !== 'exits within the pipe' && wrong !== 'stalls within the pipe';
  try {
    if (wrong === 'sends without end') for (;;) await content.write(Buffer.alloc(65536, 0x20));
    for await (const piece of createReadStream(file, { end: whole ? size - 1 : Math.floor(size / 2) })) {
      const bytes = piece as Buffer;
      if (wrong === 'sends other bytes') bytes[bytes.length >> 1]! ^= 1;
      await content.write(bytes);
    }
    if (wrong === 'sends too much') await content.write(Buffer.alloc(1, 0x20));
  } catch (error) {
    return (error as Error).message;
  }
  if (wrong === 'exits within the pipe') {
    writeSync(2, 'fatal: out of luck\n');
    process.exit(4);
  }
  if (wrong === 'stalls within the pipe') await new Promise((resolve) => setTimeout(resolve, 60_000));
  return wrong === 'reports an error' ? 'happy verifying: unexpected EOF' : '';
}

async function rawBlob(file: string, wrong: Faults['does']): Promise<void> {
  const [content, errors] = [pipe(), pipe()];
  if (wrong === 'sends a file' || wrong === 'sends a device') {
    using other = new Fd(openSync(wrong === 'sends a file' ? file : '/dev/zero', 'r'));
    await reply(true, -1, 0, [other, errors.read]);
  } else await reply(true, statSync(file).size, 0, [content.read, errors.read]);
  content.read.close();
  errors.read.close();
  void (async () => {
    await write(content, file, wrong);
    const text = {
      'reports an error': '{"code":"retryable","message":"unexpected EOF"}',
      'reports EPIPE': '{"code":"EPIPE","message":"broken pipe"}',
      'reports nonsense': 'oops',
    } as Partial<Record<string, string>>;
    if (text[wrong ?? ''] !== undefined) await errors.write(Buffer.from(text[wrong ?? '']!));
    content.close();
    try {
      if (wrong === 'reports without end') for (;;) await errors.write(Buffer.alloc(65536, 0x20));
    } catch {
      // The reader has had enough.
    }
    errors.close();
  })();
}

async function socket(wrong: Faults['does']): Promise<void> {
  if (wrong === 'sends no socket') {
    using other = new Fd(openSync('/dev/null', 'r'));
    return await reply(true, null, 0, [other]);
  }
  const [ours, theirs] = socketpair('stream');
  const { graphroot, name } = image.store!;
  const { Store } = await import('../../../../src/storage/store.js');
  const { serveStoreLayers } = await import('../../../../src/service/varlink/store-service.js');
  const store = Store.open({ graphroot });
  const served = { store, image: await store.image(name) };
  serveStoreLayers(fromFd(ours), served, new AbortController().signal).catch(() => undefined);
  await reply(true, null, 0, [theirs]);
  theirs.close();
}
