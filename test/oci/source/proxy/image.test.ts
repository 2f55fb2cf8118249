// Images out of an image proxy that is a process of its own, and does what a script says: scripted-proxy.program.ts.
// What real ones do is in test/interop/image-proxy.test.ts.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { BridgeError } from '../../../../src/errors.js';
import { openSource } from '../../../../src/oci/source/open.js';
import { openProxyImage, type ProxyImageOptions } from '../../../../src/oci/source/proxy/image.js';
import { pullImage } from '../../../../src/oci/pull/pull.js';
import type { PullResult } from '../../../../src/oci/pull/types.js';
import type { ImageSource } from '../../../../src/oci/source/source.js';
import { ProxyError } from '../../../../src/rpc/proxy/proxy-error.js';
import { makeStore, type MadeEntry } from '../../../support/images/made-store.js';
import { initRepository } from '../../../../src/repository/init.js';
import { Repository } from '../../../../src/repository/repository.js';
import {
  Layout,
  newFolder,
  newRepository,
  sha256,
  tarOf,
  type Described,
} from '../../../support/images/source-layout.js';
import { withoutLeak } from '../../../support/open-fds.js';
import type { Faults, ServedImage } from './scripted-proxy.program.js';

const program = fileURLToPath(new URL('./scripted-proxy.program.js', import.meta.url));
const GZIP = 'application/vnd.oci.image.layer.v1.tar+gzip';
const SILENCE = 3000;

const large = tarOf({ large: randomBytes(3 << 20), small: 'x' });
const small = tarOf({ other: 'y'.repeat(500) });
const packed = gzipSync(large);

let folder: string;
let layout: Layout;
let image: ServedImage;
let direct: string;

before(() => {
  folder = mkdtempSync(join(tmpdir(), 'image-proxy-'));
  layout = new Layout(join(folder, 'layout'));
  const manifest = layout.image([{ tar: large, blob: packed, descriptor: { mediaType: GZIP } }, { tar: small }]);
  layout.publish({ it: manifest });
  direct = `oci:${layout.path}:it`;
  image = served(manifest);
});
after(() => rmSync(folder, { recursive: true }));

function served({ digest }: Described, more: Partial<ServedImage> = {}): ServedImage {
  const { config, layers } = JSON.parse(readFileSync(layout.fileOf(digest), 'utf8')) as {
    config: Described;
    layers: Described[];
  };
  const listed = layers.map((layer) => ({ digest: layer.digest, size: layer.size, media_type: layer.mediaType }));
  return { manifest: digest, config: config.digest, layers: listed, ...more };
}

function scripted(faults: Faults = {}, what: ServedImage = image): string[] {
  return [process.execPath, program, layout.path, JSON.stringify(what), JSON.stringify(faults)];
}

/** Opens the image that the script serves, and reads all of it into a new repository. */
async function pullFrom(
  t: TestContext,
  command: readonly string[],
  options: ProxyImageOptions & { reference?: string } = {},
): Promise<PullResult> {
  const { reference = 'oci:somewhere', ...more } = options;
  const path = join(newFolder(t), 'repository');
  initRepository(path, { insecure: true, algorithm: 'sha256' });
  return await withoutLeak(async () => {
    using repository = await Repository.open(path, { write: true });
    await using source = await openProxyImage(reference, { command, policy: 'any', silenceLimit: SILENCE, ...more });
    return await pullImage(repository, source, {});
  });
}

const facts = ({ manifestDigest, configDigest, images, layers }: PullResult): unknown => ({
  manifestDigest,
  configDigest,
  images: [...images],
  layers: layers.map(({ diffId, actual, stream }) => ({ diffId, actual, stream })),
});

async function pullDirect(t: TestContext, reference = direct): Promise<PullResult> {
  const { repository } = await newRepository(t);
  await using source = await openSource(reference);
  return await pullImage(repository, source, {});
}

const asked = (log: string): string[] => readFileSync(log, 'utf8').trim().split('\n').slice(1);
let logs = 0;
const newLog = (): string => join(folder, `log-${logs++}`);

for (const [version, listing, blobs] of [
  ['0.2.3', undefined, 'GetBlob'],
  ['0.2.4', undefined, 'GetBlob'],
  ['0.2.6', 'GetLayerInfo', 'GetBlob'],
  ['0.2.7', 'GetLayerInfoPiped', 'GetBlob'],
  ['0.2.8', 'GetLayerInfoPiped', 'GetRawBlob'],
  ['0.2.9', 'GetLayerInfoPiped', 'GetRawBlob'],
] as const)
  test(`through a proxy of ${version} an image is what it is without one`, async (t) => {
    const log = newLog();
    assert.deepEqual(facts(await pullFrom(t, scripted({ version, log }))), facts(await pullDirect(t)));
    const methods = asked(log);
    assert.equal(methods[0], 'Initialize');
    assert.equal(methods[1], version === '0.2.3' ? 'OpenImage' : 'OpenImageOptional');
    assert.equal(
      methods.find((method) => method.startsWith('GetLayerInfo')),
      listing,
    );
    assert.equal(methods.filter((method) => method === blobs).length, blobs === 'GetBlob' ? 3 : 2);
    assert.equal(methods.at(-1), 'Shutdown');
  });

for (const version of ['0.2.3', '0.2.8'])
  test(`a store behind a proxy of ${version} has its layers unpacked`, async (t) => {
    const unpacked = served({ mediaType: '', digest: image.manifest, size: 0 });
    for (const tar of [large, small]) writeFileSync(layout.fileOf(sha256(tar)), tar);
    const layers = [large, small].map((tar) => ({ digest: sha256(tar), size: tar.length, media_type: '' }));
    const result = await pullFrom(t, scripted({ version }, { ...unpacked, layers }), {
      reference: 'containers-storage:localhost/it',
    });
    assert.deepEqual(facts(result), facts(await pullDirect(t)));
  });

test('a manifest that was converted comes with the config that was converted', async (t) => {
  const converted = { ...image, announced: sha256(Buffer.from('of docker')) };
  const log = newLog();
  assert.deepEqual(facts(await pullFrom(t, scripted({ log }, converted))), facts(await pullDirect(t)));
  assert.ok(asked(log).includes('GetFullConfig'));
});

test('a proxy that asks no policy is not believed to have asked one', async (t) => {
  for (const policy of [undefined, { file: '/policy.json' }])
    await assert.rejects(pullFrom(t, scripted({ version: '0.2.3' }), { policy }), {
      code: 'PROXY_VERSION',
      message: /asks no policy/,
    });
  await pullFrom(t, scripted({ version: '0.2.6' }), { policy: undefined });
});

test('so many layers are read at a time as were asked for', async () => {
  for (const [version, parallel, expected] of [
    ['0.2.8', undefined, 3],
    ['0.2.8', 7, 7],
    ['0.2.6', 7, 1],
  ] as const) {
    await using source = await openProxyImage('oci:x', { command: scripted({ version }), parallel });
    assert.equal(source.parallelLayers, expected);
  }
});

const everywhere: [faults: Faults, code: string, message?: RegExp][] = [
  ...[
    'Initialize',
    'OpenImageOptional',
    'GetManifest',
    'GetLayerInfoPiped',
    'FinishPipe',
    'GetBlob',
    'GetRawBlob',
  ].flatMap((at): [Faults, string, RegExp?][] => [
    [
      { at, does: 'exits', says: 'level=info msg=hello\nlevel=fatal msg="the end is nigh"\n\n' },
      'PROXY_FAILED',
      /node ended with status 3: level=fatal msg="the end is nigh"/,
    ],
    [{ at, does: 'is killed' }, 'PROXY_FAILED', /node ended by SIGKILL and said nothing/],
    // Starting may take a minute, and opening ten times as long as anything else.
    ...(at === 'Initialize' || at === 'OpenImageOptional'
      ? []
      : ([[{ at, does: 'stalls', says: 'waiting for quay.io\n' }, 'PROXY_FAILED', /waiting for quay\.io/]] satisfies [
          Faults,
          string,
          RegExp,
        ][])),
    [{ at, does: 'refuses' }, 'PROXY_ERROR', new RegExp(`${at} is refused`)],
  ]),
  [{ version: '0.2.3', at: 'OpenImage', does: 'refuses' }, 'PROXY_ERROR', /oci:somewhere: OpenImage is refused/],
  [{ version: '0.2.6', at: 'GetLayerInfo', does: 'exits' }, 'PROXY_FAILED'],
  [{ at: 'OpenImageOptional', does: 'finds nothing' }, 'NOT_FOUND', /oci:somewhere/],
  [{ version: '0.1.9' }, 'PROXY_VERSION'],
  ...(['GetManifest', 'GetLayerInfoPiped'] as const).flatMap((at): [Faults, string, RegExp?][] => [
    [{ at, does: 'sends without end' }, 'FILE_TOO_LARGE'],
    [{ at, does: 'reports an error' }, 'PROXY_ERROR', /unexpected EOF/],
    [{ at, does: 'stalls within the pipe' }, 'PEER_SILENT'],
    [{ at, does: 'exits within the pipe' }, 'PROXY_FAILED', /fatal: out of luck/],
  ]),
  [{ at: 'GetManifest', does: 'sends too little' }, 'MANIFEST_INVALID'],
  [{ at: 'GetLayerInfoPiped', does: 'sends too little' }, 'INVALID_RESULT'],
  // The config comes by it, of any version.
  [{ at: 'GetBlob', does: 'sends other bytes' }, 'DIGEST_MISMATCH'],
  [{ at: 'GetBlob', does: 'sends too little' }, 'DIGEST_MISMATCH'],
  [{ at: 'GetBlob', does: 'sends too much' }, 'FILE_TOO_LARGE'],
  // Whichever layer is first.
  [{ at: 'GetRawBlob', does: 'sends other bytes' }, 'COMPRESSION|DIGEST_MISMATCH'],
  [{ at: 'GetRawBlob', does: 'sends too little' }, 'BLOB_SIZE'],
  [{ at: 'GetRawBlob', does: 'sends too much' }, 'BLOB_SIZE', /more than/],
  [{ at: 'GetRawBlob', does: 'sends without end' }, 'COMPRESSION|BLOB_SIZE|TAR_CHECKSUM'],
  [{ at: 'GetRawBlob', does: 'reports an error' }, 'PROXY_ERROR', /unexpected EOF/],
  [{ at: 'GetRawBlob', does: 'reports nonsense' }, 'INVALID_MESSAGE', /oops/],
  [{ at: 'GetRawBlob', does: 'reports without end' }, 'FILE_TOO_LARGE'],
  [{ at: 'GetRawBlob', does: 'sends a device' }, 'STREAM_SOURCE'],
  [{ at: 'GetRawBlob', does: 'stalls within the pipe', says: 'slow CDN' }, 'PROXY_FAILED', /nothing came.*slow CDN/],
  [{ at: 'GetRawBlob', does: 'exits within the pipe' }, 'PROXY_FAILED', /fatal: out of luck/],
];
for (const [faults, code, message = /./] of everywhere)
  test(`a proxy of ${faults.version ?? '0.2.8'} that ${faults.does ?? 'is there'} at ${faults.at ?? 'all'} ends the pull`, async (t) => {
    const began = performance.now();
    await assert.rejects(pullFrom(t, scripted(faults)), (error) => {
      assert.ok(error instanceof BridgeError, String(error));
      const all = [error, error.cause].filter((each) => each instanceof BridgeError);
      assert.ok(
        all.some((each) => code.split('|').includes(each.code)),
        `${error.code}: ${error.message}`,
      );
      assert.ok(
        all.some((each) => message.test(each.message)),
        error.message,
      );
      return true;
    });
    assert.ok(performance.now() - began < 20_000);
  });

test('blobs of a proxy that finishes pipes are as carefully looked at', async (t) => {
  const twice = served(layout.image([{ tar: large }]));
  for (const [does, code] of [
    ['sends other bytes', 'DIGEST_MISMATCH'],
    ['sends too little', 'DIGEST_MISMATCH'],
  ] as const)
    await assert.rejects(
      pullFrom(t, scripted({ version: '0.2.6', at: 'GetBlob', does }, twice)),
      (error: BridgeError) => error.code === code,
    );
});

test('an error that is only that nobody read on is none', async (t) => {
  const result = await pullFrom(t, scripted({ at: 'GetRawBlob', does: 'reports EPIPE' }));
  assert.deepEqual(facts(result), facts(await pullDirect(t)));
});

test('a regular file in the place of a pipe is read as one', async (t) => {
  const result = await pullFrom(t, scripted({ at: 'GetRawBlob', does: 'sends a file' }));
  assert.deepEqual(facts(result), facts(await pullDirect(t)));
});

test('an error of 0.2.8 tells what kind of failure it was', async (t) => {
  await assert.rejects(pullFrom(t, scripted({ at: 'GetRawBlob', does: 'reports an error' })), (error) => {
    const found = error instanceof ProxyError ? error : (error as Error).cause;
    assert.ok(found instanceof ProxyError);
    assert.equal(found.kind, 'retryable');
    return true;
  });
});

const lists: [title: string, layers: (image: ServedImage) => ServedImage['layers'], code: string][] = [
  ['fewer layers than the config', ({ layers }) => layers.slice(1), 'LAYER_CHAIN'],
  ['more layers than the config', ({ layers }) => [...layers, layers[0]!], 'LAYER_CHAIN'],
  ['the layers the other way round', ({ layers }) => [...layers].reverse(), 'LAYER_CHAIN'],
  ['no layers', () => [], 'LAYER_CHAIN'],
  [
    'a layer that is no digest',
    ({ layers: [first, ...rest] }) => [{ ...first!, digest: '../x' }, ...rest],
    'LAYER_CHAIN',
  ],
  ['a wrong size', ({ layers }) => layers.map((layer) => ({ ...layer, size: layer.size - 1 })), ''],
];
for (const [title, layers, code] of lists)
  test(`a list of layers with ${title} ${code === '' ? 'is not what counts' : 'is refused'}`, async (t) => {
    const pulling = pullFrom(t, scripted({}, { ...image, layers: layers(image) }));
    if (code === '') await pulling;
    else await assert.rejects(pulling, (error: BridgeError) => error.code === code);
  });

test('a layer that is another one than its diff_id says is refused, and no image is there', async (t) => {
  const config = { rootfs: { type: 'layers', diff_ids: [sha256(large), sha256(Buffer.from('another'))] } };
  const wrong = served(layout.image([{ tar: large }, { tar: small }], config));
  const { repository } = await newRepository(t);
  await using source = await openProxyImage('oci:x', { command: scripted({}, wrong) });
  await assert.rejects(pullImage(repository, source, { name: 'wrong' }), (error: Error) =>
    /diff_id|expected/.test(error.message),
  );
});

test('what is pulled is given up at once, and nothing stays behind', async (t) => {
  const path = join(newFolder(t), 'repository');
  initRepository(path, { insecure: true, algorithm: 'sha256' });
  await withoutLeak(async () => {
    using repository = await Repository.open(path, { write: true });
    const abort = new AbortController();
    const { signal } = abort;
    const command = scripted({ at: 'GetRawBlob', does: 'stalls within the pipe' });
    const began = performance.now();
    await assert.rejects(
      (async () => {
        await using source = await openProxyImage('oci:x', { command, signal });
        setTimeout(() => abort.abort(new Error('enough')), 300);
        return await pullImage(repository, source, { signal });
      })(),
      /enough/,
    );
    assert.ok(performance.now() - began < 10_000);
  });
});

for (const at of ['Initialize', 'OpenImageOptional', 'GetBlob'])
  test(`giving up while ${at} waits ends the proxy`, async () => {
    await withoutLeak(async () => {
      const signal = AbortSignal.timeout(1000);
      await assert.rejects(openProxyImage('oci:x', { command: scripted({ at, does: 'stalls' }), signal }), {
        name: 'TimeoutError',
      });
    });
  });

test('a program that is not there is named', async (t) => {
  for (const command of [['no-such-program'], ['/no/such/program', 'x'], [folder]])
    await assert.rejects(pullFrom(t, command), {
      code: 'PROXY_FAILED',
      message: new RegExp(`image proxy ${command[0]!.replace(/.*\//, '')} cannot be started`),
    });
  await assert.rejects(pullFrom(t, []), RangeError);
});

test('options are handed on in words of skopeo, and no secret is among them', async () => {
  const log = newLog();
  await using source = await openProxyImage('registry:example.org:5000/a/b:1', {
    command: scripted({ log }),
    platform: { os: 'linux', architecture: 'arm', variant: 'v7' },
    credentials: { kind: 'basic', username: 'me', password: 'se:cret' },
    authFile: '/not/used',
    certDir: '/certs',
    tlsVerify: false,
    registriesConf: '/registries.conf',
    policy: { file: '/policy.json' },
  });
  assert.ok(source.layers.length > 0);
  const [line] = readFileSync(log, 'utf8').split('\n');
  assert.deepEqual(JSON.parse(line!), [
    '--policy',
    '/policy.json',
    '--registries-conf',
    '/registries.conf',
    '--override-os',
    'linux',
    '--override-arch',
    'arm',
    '--override-variant',
    'v7',
    'experimental-image-proxy',
    '--authfile',
    '/proc/self/fd/3',
    '--cert-dir',
    '/certs',
    '--tls-verify=false',
  ]);
});

test('credentials are in a file in memory that only the proxy has', async () => {
  const out = join(folder, 'auth.json');
  const command = ['sh', '-c', 'cat <&3 >"$0"; readlink /proc/self/fd/3 >>"$0"', out];
  const credentials = { kind: 'basic', username: 'me', password: 'se:cret' } as const;
  await assert.rejects(openProxyImage('docker://example.org:5000/a/b:1', { command, credentials }), {
    code: 'PROXY_FAILED',
  });
  const text = readFileSync(out, 'utf8');
  const auth = Buffer.from('me:se:cret').toString('base64');
  assert.ok(text.startsWith(`{"auths":{"example.org:5000":{"auth":"${auth}"}}}`), text);
});

for (const [access, flags] of [
  [{ credentials: 'nobody', authFile: '/a' }, ['experimental-image-proxy', '--no-creds']],
  [{ authFile: '/a', policy: 'any' }, ['--insecure-policy', 'experimental-image-proxy', '--authfile', '/a']],
  [{ tlsVerify: true }, ['experimental-image-proxy', '--tls-verify=true']],
  [{}, ['experimental-image-proxy']],
] satisfies [ProxyImageOptions, string[]][])
  test(`${JSON.stringify(access)} become ${flags.join(' ')}`, async () => {
    const log = newLog();
    await using _ = await openProxyImage('oci:x', { command: scripted({ log }), ...access });
    assert.deepEqual(JSON.parse(readFileSync(log, 'utf8').split('\n')[0]!), flags);
  });

test('a proxy dies with the program that started it, even when it is killed', { skip: whyNoSetpriv() }, async () => {
  const log = newLog();
  const starter = join(folder, 'starter.mjs');
  const pid = join(folder, 'pid');
  const library = new URL('../../../../src/oci/source/proxy/image.js', import.meta.url).href;
  const shell = `echo $$ >${pid}; exec "$@"`;
  const command = ['sh', '-c', shell, 'sh', ...scripted({ log, at: 'OpenImageOptional', does: 'stalls' })];
  writeFileSync(
    starter,
    `import { openProxyImage } from ${JSON.stringify(library)};\n` +
      `await openProxyImage('oci:x', { command: ${JSON.stringify(command)} });\n`,
  );
  const { spawn } = await import('node:child_process');
  const child = spawn(process.execPath, [starter], { stdio: 'inherit' });
  await until(() => existsSync(log) && asked(log).includes('OpenImageOptional'));
  const proxy = Number(readFileSync(pid, 'utf8'));
  assert.ok(existsSync(`/proc/${proxy}`));
  child.kill('SIGKILL');
  await until(() => !existsSync(`/proc/${proxy}`) || isZombie(proxy));
});

function isZombie(pid: number): boolean {
  try {
    return /^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'latin1'));
  } catch {
    return true;
  }
}

function whyNoSetpriv(): string | false {
  return existsSync('/usr/bin/setpriv') ? false : 'there is no setpriv here, which sends the signal';
}

async function until(condition: () => boolean): Promise<void> {
  for (let waited = 0; !condition(); waited += 50) {
    assert.ok(waited < 30_000, 'it never came to that');
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

const entries = (layer: string): MadeEntry[] =>
  Array.from({ length: 30 }, (_, i) => ({ name: `usr/${layer}${i}`, content: Buffer.alloc(9000, `${layer} ${i} `) }));

/** A store with an image, and what the script needs to serve it. */
async function storedImage(name: string): Promise<{ reference: string; what: ServedImage; source: ImageSource }> {
  const graphroot = join(folder, name);
  mkdirSync(graphroot);
  makeStore(graphroot, [{ name: 'localhost/it:1', layers: [{ entries: entries('a') }, { entries: entries('b') }] }]);
  const reference = `containers-storage:[overlay@${graphroot}+${graphroot}/run]localhost/it:1`;
  const source = await openSource(reference);
  const manifest = layout.put(source.manifest, 'manifest');
  const config = layout.put(source.config, 'config');
  const layers: ServedImage['layers'][number][] = [];
  for (const { diffId, open } of source.layers) {
    const tar = await tarOfStream(await open());
    layout.put(tar, 'tar');
    layers.push({ digest: diffId, size: tar.length, media_type: '' });
  }
  return {
    reference,
    what: { manifest: manifest.digest, config: config.digest, layers, store: { graphroot, name: 'localhost/it:1' } },
    source,
  };
}

async function tarOfStream(stream: Awaited<ReturnType<ImageSource['layers'][number]['open']>>): Promise<Buffer> {
  const { readChunk } = await import('../../../../src/layer/content.js');
  const pieces: Buffer[] = [];
  for await (const chunks of stream)
    for (const chunk of chunks) {
      if (chunk.kind === 'bytes') pieces.push(Buffer.from(chunk.bytes));
      else for await (const bytes of readChunk(chunk)) pieces.push(Buffer.from(bytes));
    }
  await stream[Symbol.asyncDispose]();
  return Buffer.concat(pieces);
}

for (const [title, faults, shared] of [
  ['its socket', { version: '0.2.9' }, true],
  ['pipes, as it is older', { version: '0.2.8' }, false],
  ['pipes, as it knows no socket after all', { version: '0.2.9', at: 'OpenVarlinkSocket', does: 'refuses' }, false],
] satisfies [string, Faults, boolean][])
  test(`an image of a store comes through ${title}`, async (t) => {
    const { reference, what, source } = await storedImage(`store-${logs++}`);
    await using _ = source;
    const log = newLog();
    const command = scripted({ ...faults, log }, what);
    // What serves the store has much to load.
    const result = await pullFrom(t, command, { reference, silenceLimit: 30_000 });
    assert.deepEqual(facts(result), facts(await pullDirect(t, reference)));
    assert.equal(asked(log).includes('GetRawBlob'), !shared);
    assert.equal(asked(log).includes('OpenVarlinkSocket'), faults.version === '0.2.9');
    assert.equal(
      result.layers.every(({ stats }) => stats !== undefined),
      true,
    );
  });

for (const [does, code] of [
  ['sends no socket', 'NOT_A_SOCKET'],
  ['exits', 'PROXY_FAILED'],
] satisfies [Faults['does'], string][])
  test(`a proxy that ${does} for the socket of a store ends the pull`, async (t) => {
    const { reference, what, source } = await storedImage(`store-${logs++}`);
    await using _ = source;
    const command = scripted({ version: '0.2.9', at: 'OpenVarlinkSocket', does }, what);
    await assert.rejects(pullFrom(t, command, { reference }), { code });
  });
