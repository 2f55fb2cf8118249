// What our image proxy answers, packet by packet, beside what skopeo answers to the same requests.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { Fd } from '../../src/fd/fd-passing.js';
import { Layout, sha256, tarOf } from '../support/images/source-layout.js';
import { hostPlatform } from '../../src/spec/platform.js';
import { readAll, StartedProxy, type ProxyAnswer } from '../support/servers/started-proxy.js';
import { whyNoPeers } from './peers.js';
import { ProxiedImages } from './proxied-images.js';

const UNKNOWN = `sha256:${'0'.repeat(64)}`;
const TAR = tarOf({ a: Buffer.alloc(3_000_000, 'some content '), b: 'small' });
const SCHEMA_1 = {
  schemaVersion: 1,
  name: 'a/b',
  tag: 'c',
  architecture: 'amd64',
  fsLayers: [{ blobSum: UNKNOWN }],
  history: [{ v1Compatibility: JSON.stringify({ id: '0'.repeat(64), os: 'linux', config: {} }) }],
};
const OPTIONS = ['--insecure-policy', '--tls-verify=false'];

/** A reply as it is compared, with what came through its descriptors. */
interface Line {
  request: string;
  keys: string[];
  success: boolean;
  value: unknown;
  hasPipe: boolean;
  code: string;
  error: string;
  pipes: string[];
  finished?: Line;
}

interface Transcript {
  lines: Line[];
  status: number | null;
}

interface Document {
  digest: string;
  size: number;
}

describe('packets of the image proxy', { skip: whyNoPeers() }, () => {
  let images: ProxiedImages;
  let at: string;
  const stored = (image: string): string => images.stored(image);

  before(async () => {
    images = await ProxiedImages.make();
    at = images.folder.path;
    const { host } = images.registry;
    images.copy('localhost/alpha:v3', `oci:${at}/layout:alpha`, '--format', 'oci');
    images.copy('localhost/alpha:v3', `docker://${host}/alpha:oci`, '--format', 'oci');
    images.copy('localhost/alpha:v3', `docker://${host}/alpha:docker`, '--format', 'v2s2');
    images.copy('localhost/alpha:v3', `dir:${at}/docker`, '--format', 'v2s2');
    images.copy('localhost/alpha:v3', `oci-archive:${at}/archive.tar:alpha`, '--format', 'oci');
    const layout = new Layout(join(at, 'made'));
    const image = layout.image([{ tar: TAR }]);
    const foreign = layout.image([{ tar: tarOf({ c: 'other' }) }], { architecture: 'none' });
    const { os, architecture } = hostPlatform();
    const index = layout.index([
      { ...foreign, platform: { os, architecture: 'none' } },
      { ...image, platform: { os, architecture } },
    ]);
    const odd = layout.putJson({ schemaVersion: 2, mediaType: 'text/plain', layers: [] }, 'text/plain');
    const old = 'application/vnd.docker.distribution.manifest.v1+prettyjws';
    const legacy = layout.putJson({ schemaVersion: 1, name: 'a', tag: 'b', fsLayers: [], history: [] }, old);
    mkdirSync(join(at, 'legacy'));
    writeFileSync(join(at, 'legacy/version'), 'Directory Transport Version: 1.1\n');
    writeFileSync(join(at, 'legacy/manifest.json'), JSON.stringify(SCHEMA_1));
    const damaged = tarOf({ d: 'damaged' });
    layout.publish({ image, index, odd, legacy, damaged: layout.image([{ tar: damaged }]) });
    writeFileSync(layout.fileOf(sha256(damaged)), Buffer.alloc(damaged.length));
  });
  after(() => images[Symbol.asyncDispose]());

  /** Holds a conversation with both. @returns skopeo's side of it and ours */
  async function both(talk: (client: Recorder) => Promise<void>): Promise<[Transcript, Transcript]> {
    const transcripts: Transcript[] = [];
    for (const { program } of images.sides) {
      await using proxy = new StartedProxy([program, 'experimental-image-proxy', ...OPTIONS]);
      const client = new Recorder(proxy);
      await talk(client);
      proxy.connection.close();
      transcripts.push({ lines: client.lines, status: (await proxy.ended).status });
    }
    return transcripts as [Transcript, Transcript];
  }

  /** Everything that can be asked about an image. */
  async function everything(client: Recorder, reference: string): Promise<void> {
    await client.ask('Initialize');
    await client.ask('OpenImage', reference);
    const manifest = JSON.parse(String(await client.ask('GetManifest', 1))) as { config: Document };
    await client.ask('GetFullConfig', 1);
    await client.ask('GetConfig', 1);
    await client.ask('GetLayerInfo', 1);
    const layers = JSON.parse(String(await client.ask('GetLayerInfoPiped', 1))) as Document[];
    for (const { digest, size } of layers) {
      await client.ask('GetBlob', 1, digest, size);
      await client.ask('GetBlob', 1, digest, size + 1);
      await client.ask('GetRawBlob', 1, digest);
    }
    const { digest, size } = manifest.config;
    if (!reference.includes('docker')) await client.ask('GetBlob', 1, digest, size);
    await client.ask('CloseImage', 1);
    for (const method of [
      'GetManifest',
      'GetFullConfig',
      'GetConfig',
      'GetLayerInfo',
      'GetLayerInfoPiped',
      'CloseImage',
    ])
      await client.ask(method, 1);
    await client.ask('OpenImageOptional', reference);
    await client.ask('GetLayerInfo', 2);
  }

  const references: [what: string, reference: () => string][] = [
    ['a registry', () => `docker://${images.registry.host}/alpha:oci`],
    ['a registry, in the form of docker', () => `docker://${images.registry.host}/alpha:docker`],
    ['a layout', () => `oci:${at}/layout:alpha`],
    ['a folder, in the form of docker', () => `dir:${at}/docker`],
    ['a store', () => stored('localhost/alpha:v3')],
    ['a store, in the form of docker', () => stored('localhost/beta:docker')],
  ];
  for (const [what, reference] of references)
    test(`an image of ${what} is answered with the same packets, descriptors and bytes`, async () => {
      const [theirs, ours] = await both((client) => everything(client, reference()));
      assert.ok(theirs.lines.filter(({ success }) => success).length > 8);
      assert.deepEqual(ours, theirs);
    });

  test('an image of an index is answered with the same packets, and is the one for this platform', async () => {
    const [theirs, ours] = await both((client) => everything(client, `oci:${at}/made:index`));
    assert.deepEqual(ours, theirs);
  });

  test('images that are not there are so with the same words, or 0', async () => {
    const missing: (() => string)[] = [
      () => `docker://${images.registry.host}/alpha:none`,
      () => `docker://${images.registry.host}/alpha@${UNKNOWN}`,
      () => `oci:${at}/layout:none`,
      () => `oci-archive:${at}/archive.tar:none`,
      () => stored('localhost/none:1'),
    ];
    const [theirs, ours] = await both(async (client) => {
      await client.ask('Initialize');
      // By its id an image is asked for by somebody who has seen it: skopeo does not say 0.
      await client.ask('OpenImageOptional', stored(`@${'0'.repeat(64)}`));
      await client.ask('OpenImage', stored(`@${'0'.repeat(64)}`));
      for (const reference of missing) {
        await client.ask('OpenImageOptional', reference());
        await client.ask('OpenImage', reference());
      }
    });
    assert.deepEqual(ours, theirs);
    assert.deepEqual(theirs.lines.slice(1).filter(({ success }) => success).length, missing.length);
  });

  test('what is asked for wrongly, too early, twice or too late is refused with the same words', async () => {
    const layer = sha256(TAR);
    const [theirs, ours] = await both(async (client) => {
      await client.ask('OpenImage', `oci:${at}/made:image`);
      await client.ask('FinishPipe', 1);
      await client.ask('Initialize', 1);
      await client.ask('Initialize');
      await client.ask('Initialize');
      await client.ask('OpenImage', `oci:${at}/made:image`);
      for (const request of [
        ['OpenImage'],
        ['OpenImage', 'oci:a', 'oci:b'],
        ['OpenImage', 1],
        ['OpenImage', null],
        ['OpenImage', true],
        ['OpenImage', [1]],
        ['OpenImage', { a: 1 }],
        ['OpenImage', 'nothing'],
        ['OpenImage', 'foo:bar'],
        ['OpenImageOptional'],
        ['OpenImageOptional', 1],
        ['OpenImageOptional', 'foo:bar'],
        ['CloseImage'],
        ['CloseImage', 0],
        ['CloseImage', 7],
        ['CloseImage', 'x'],
        ['GetManifest'],
        ['GetManifest', 1, 1],
        ['GetManifest', 0],
        ['GetManifest', 7],
        ['GetManifest', 'x'],
        ['GetManifest', null],
        ['GetManifest', 2 ** 53],
        ['GetManifest', 2 ** 64],
        ['GetManifest', 1e300],
        ['GetConfig'],
        ['GetConfig', 7],
        ['GetFullConfig'],
        ['GetFullConfig', 1, 1],
        ['GetFullConfig', 0],
        ['GetLayerInfo'],
        ['GetLayerInfo', 'x'],
        ['GetLayerInfoPiped', 1, 2],
        ['GetLayerInfoPiped', 7],
        ['GetBlob'],
        ['GetBlob', 1, layer],
        ['GetBlob', 0, layer, 1],
        ['GetBlob', 7, layer, 1],
        ['GetBlob', 1, 5, 1],
        ['GetBlob', 1, layer, 'x'],
        ['GetBlob', 1, layer, 2 ** 53],
        ['GetBlob', 1, 'abc', 1],
        ['GetBlob', 1, 'sha256:abc', 1],
        ['GetBlob', 1, `sha256:${'G'.repeat(64)}`, 1],
        ['GetBlob', 1, `md5:${'0'.repeat(32)}`, 1],
        ['GetBlob', 1, '', 1],
        ['GetRawBlob'],
        ['GetRawBlob', 1],
        ['GetRawBlob', 1, layer, 1],
        ['GetRawBlob', 1, 5],
        ['GetRawBlob', 7, layer],
        ['GetRawBlob', 1, 'sha256:abc'],
        ['FinishPipe', 1, 2],
        ['FinishPipe', 'x'],
        ['FinishPipe', 55],
        ['FinishPipe', 2 ** 53],
        ['Nothing', 1],
        ['constructor'],
        [''],
        ['initialize'],
      ] as [string, ...unknown[]][])
        await client.ask(...request);
      await client.ask('GetLayerInfo', 1);
    });
    assert.deepEqual(ours, theirs);
    assert.ok(theirs.lines.filter(({ error }) => error !== '').length > 55);
  });

  test('manifests of other kinds are refused with the same words', async () => {
    const [theirs, ours] = await both(async (client) => {
      await client.ask('Initialize');
      for (const name of ['odd', 'legacy'])
        for (const method of ['OpenImage', 'OpenImageOptional']) await client.ask(method, `oci:${at}/made:${name}`);
    });
    assert.deepEqual(ours, theirs);
    assert.ok(theirs.lines.slice(1).every(({ error }) => error.includes('unsupported manifest MIME type')));
  });

  test('a manifest of the first version of docker’s is refused with the same words, by OpenImage already', async () => {
    const [theirs, ours] = await both(async (client) => {
      await client.ask('Initialize');
      await client.ask('OpenImage', `dir:${at}/legacy`);
      await client.ask('GetManifest', 1);
    });
    const opened = ours.lines[1]!;
    const { error, code } = theirs.lines[2]!;
    assert.equal(error, 'unsupported legacy manifest MIME type: application/vnd.docker.distribution.manifest.v1+json');
    assert.ok(opened.error.includes(error), opened.error);
    assert.equal(opened.code, code);
  });

  test('blobs of another size or with other content, pipes closed early and finished twice end the same way', async () => {
    const layer = sha256(TAR);
    const [theirs, ours] = await both(async (client) => {
      await client.ask('Initialize');
      await client.ask('OpenImage', `oci:${at}/made:image`);
      await client.ask('OpenImage', `oci:${at}/made:damaged`);
      const [damaged] = JSON.parse(String(await client.ask('GetLayerInfoPiped', 2))) as [Document];
      await client.ask('GetBlob', 2, damaged.digest, damaged.size);
      await client.ask('GetRawBlob', 2, damaged.digest);
      await client.ask('GetBlob', 1, layer, TAR.length + 1);
      await client.askForEnd('GetBlob', 1, layer, 1000);
      await client.drop('GetBlob', 1, layer, TAR.length);
      await client.finishTwice('GetBlob', 1, layer, TAR.length);
      await client.ask('GetBlob', 1, layer, TAR.length);
      await client.drop('GetRawBlob', 1, layer);
      await client.ask('GetManifest', 1);
    });
    assert.deepEqual(ours, theirs);
  });

  test('for what the network or the file system says, and for packets that are no requests, the code is the same', async () => {
    const [theirs, ours] = await both(async (client) => {
      await client.ask('Initialize');
      await client.ask('OpenImage', `oci:${at}/made:image`);
      for (const reference of [
        'docker://127.0.0.1:1/a:b',
        `docker://${images.registry.host}/none:1`,
        'docker://',
        'docker:a',
        'docker://UPPER/case',
        `oci:${at}/none:a`,
        'oci:',
        `oci-archive:${at}/none:a`,
        `docker-archive:${at}/none`,
        'containers-storage:',
      ])
        for (const method of ['OpenImage', 'OpenImageOptional']) await client.ask(method, reference);
      await client.ask('GetBlob', 1, UNKNOWN, 1);
      await client.ask('GetRawBlob', 1, UNKNOWN);
      for (const packet of ['x', '[]', '{"method":5}', '{"method":"Nothing","args":{}}', '{"method":"Nothing"} x'])
        await client.packet(packet);
      await client.packet(`{"method":"${'x'.repeat(40_000)}"}`);
      await client.packet('{"method":"GetLayerInfo","args":[1],"more":2}');
      await client.packet('{"args":[1]}');
      await client.packet('{"method":"Nothing","args":null}');
    });
    const classes = ({ lines, status }: Transcript): unknown => [
      lines.map(({ error, ...rest }) => ({ ...rest, error: /^(invalid request: )?./s.exec(error)?.[1] })),
      status,
    ];
    assert.deepEqual(classes(ours), classes(theirs));
  });

  test('the end is 0, after Shutdown and at any point without it', async () => {
    const steps = (): [string, ...unknown[]][] => [
      ['Initialize'],
      ['OpenImage', `oci:${at}/made:image`],
      ['GetManifest', 1],
      ['GetLayerInfo', 1],
    ];
    for (let count = 0; count <= 4; count++)
      for (const shutdown of [true, false]) {
        const [theirs, ours] = await both(async (client) => {
          for (const step of steps().slice(0, count)) await client.ask(...step);
          if (shutdown) await client.say('Shutdown');
        });
        assert.deepEqual(ours, theirs);
        assert.equal(theirs.status, 0);
      }
  });
});

/** Makes requests, and writes down what comes back. */
class Recorder {
  readonly lines: Line[] = [];

  constructor(private readonly proxy: StartedProxy) {}

  /** @returns what came through the first pipe */
  async ask(method: string, ...args: unknown[]): Promise<Buffer | undefined> {
    const request = JSON.stringify([method, ...args]);
    await this.proxy.send(method, ...args);
    const { line, reply, fds } = await this.#reply(request);
    this.lines.push(line);
    if (fds.length === 0) return undefined;
    const finish = reply.pipeid > 0 ? this.#finish(reply.pipeid) : undefined;
    const read = await Promise.all(fds.map((fd) => readAll(fd)));
    line.pipes = read.map((bytes) => `${bytes.length} ${createHash('sha256').update(bytes).digest('hex')}`);
    if (finish !== undefined) line.finished = await finish;
    return read[0];
  }

  /** Without the bytes: more of them come from skopeo than were asked for. */
  async askForEnd(method: string, ...args: unknown[]): Promise<void> {
    await this.ask(method, ...args);
    this.lines.at(-1)!.pipes = [];
  }

  /** Reads nothing, and then asks how that was. */
  async drop(method: string, ...args: unknown[]): Promise<void> {
    await this.proxy.send(method, ...args);
    const { line, reply, fds } = await this.#reply(method);
    this.lines.push(line);
    fds[0]?.close();
    if (reply.pipeid > 0) line.finished = await this.#finish(reply.pipeid);
    if (fds[1] === undefined) return;
    const { code } = JSON.parse(String(await readAll(fds[1]))) as { code: string };
    line.pipes = [code];
  }

  async finishTwice(method: string, ...args: unknown[]): Promise<void> {
    await this.proxy.send(method, ...args);
    const { line, reply, fds } = await this.#reply(method);
    this.lines.push(line);
    [, line.finished] = await Promise.all([readAll(fds[0]!), this.#finish(reply.pipeid)]);
    const again = await this.#finish(reply.pipeid);
    this.lines.push({ ...again, error: again.error.replace(String(reply.pipeid), 'PIPE') });
  }

  async packet(packet: string): Promise<void> {
    await this.proxy.connection.send(Buffer.from(packet));
    const { line, fds } = await this.#reply(packet.slice(0, 40));
    for (const fd of fds) fd.close();
    this.lines.push(line);
  }

  async say(method: string): Promise<void> {
    await this.proxy.send(method);
  }

  async #finish(pipeid: number): Promise<Line> {
    await this.proxy.send('FinishPipe', pipeid);
    const { line, fds } = await this.#reply('FinishPipe');
    for (const fd of fds) fd.close();
    return line;
  }

  async #reply(request: string): Promise<{ line: Line; reply: ProxyAnswer; fds: Fd[] }> {
    const { reply, fds } = await this.proxy.reply();
    const { success, value, pipeid, error_code: code, error } = reply;
    const shown = request === '["Initialize"]' ? 'version' : value;
    const line = {
      request,
      keys: Object.keys(reply),
      success,
      value: shown,
      hasPipe: pipeid > 0,
      code,
      error: error,
      pipes: [],
    };
    return { line, reply, fds };
  }
}
