// Files that a layer's tar has below a symlink of the same layer: a store has them where the symlink leads. The stores
// are made by hand; test/interop/layers-apart.test.ts asks podman for its own.
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { Fd } from '../../src/fd/fd.js';
import { decodeSplitdirfdstream } from '../../src/layer/splitdirfdstream-decoder.js';
import { encodeSplitdirfdstream } from '../../src/layer/splitdirfdstream-encoder.js';
import type { LayerStream } from '../../src/layer/stream.js';
import { Store } from '../../src/storage/store.js';
import { runCli } from '../support/cli/run-cli.js';
import { collect, memorySource } from '../support/layers/streams.js';
import { baseLayerFolder, makeStore, toVfs, type MadeEntry } from '../support/images/made-store.js';

const directory = (name: string): MadeEntry => ({ name, type: '5', mode: 0o755 });
const link = (name: string, target: string): MadeEntry => ({ name, type: '2', link: target });
/** @param at where the store has it */
const file = (name: string, at = name): MadeEntry => ({ name, at, content: Buffer.alloc(300, name) });

const usr = [directory('usr/'), directory('usr/lib/')];
const long = `usr/${'long-name/'.repeat(12)}l`;
const chain = (length: number): MadeEntry[] =>
  Array.from({ length }, (_, index) => link(`l${index + 1}`, index === 0 ? 'usr' : `l${index}`));

const layers: Record<string, MadeEntry[]> = {
  relative: [
    ...usr,
    link('lib', 'usr/lib'),
    file('lib/plugin.so', 'usr/lib/plugin.so'),
    file('lib/other.so', 'usr/lib/other.so'),
    file('usr/x'),
  ],
  absolute: [...usr, directory('a/'), link('a/lib', '/usr/lib'), file('a/lib/x/y', 'usr/lib/x/y')],
  'above the root': [...usr, link('lib', '../../usr/./lib'), file('./lib//x', 'usr/lib/x')],
  'a link to the root': [...usr, link('usr/root', '/'), file('usr/root/x', 'x')],
  'links through links': [
    ...usr,
    link('usr/lib64', 'lib'),
    link('l', 'usr/lib64'),
    { ...directory('l/d/'), at: 'usr/lib/d' },
    { ...link('l/d/up', '..'), at: 'usr/lib/d/up' },
    file('l/d/up/x', 'usr/lib/x'),
  ],
  'a folder in its place': [
    ...usr,
    link('lib', 'usr/lib'),
    file('lib/x', 'usr/lib/x'),
    directory('lib/'),
    file('lib/y'),
  ],
  'a second link in its place': [
    ...usr,
    directory('b/'),
    link('l', 'usr'),
    file('l/x', 'usr/x'),
    link('l', 'b'),
    file('l/y', 'b/y'),
  ],
  'a hard link of a link': [...usr, link('l', 'usr'), { name: 'm', type: '1', link: 'l' }, file('m/x', 'usr/x')],
  'PAX names': [
    ...usr,
    { name: 'short', type: '2', link: 'short', records: { path: long, linkpath: '/usr/lib' } },
    { ...file(`${long}/x`, 'usr/lib/x'), records: { path: `${long}/x` } },
  ],
  'other links': [
    ...usr,
    link('usr/lib/l.so', 'l.so.1'),
    file('usr/lib/l.so.1'),
    link('usr/dangling', 'nowhere'),
    file('usr/f'),
  ],
  'a chain of 40': [...usr, ...chain(40), file('l40/x', 'usr/x')],
};

let folder: string;
before(() => (folder = mkdtempSync(join(tmpdir(), 'layer-links-'))));
after(() => rmSync(folder, { recursive: true }));

/** @returns the graph root */
function storeOf(name: string, entries: readonly MadeEntry[]): string {
  const graphroot = join(folder, name.replaceAll(' ', '-'));
  makeStore(graphroot, [{ name: 'localhost/a:1', layers: [{ entries: entries.map(shortened) }] }]);
  return graphroot;
}

/** What a PAX record says does not fit the header. */
function shortened(entry: MadeEntry): MadeEntry {
  return { ...entry, name: entry.name.slice(0, 100) };
}

async function namesOf(layer: LayerStream): Promise<string[]> {
  const names: string[] = [];
  for await (const chunks of layer) for (const chunk of chunks) if (chunk.kind === 'named') names.push(chunk.name);
  return names;
}

async function open<T>(graphroot: string, use: (layer: LayerStream & { directory: Fd }) => Promise<T>): Promise<T> {
  using store = Store.open({ graphroot });
  const [layer] = await store.layers(await store.image('localhost/a:1'));
  await using stream = await store.layerStream({ id: layer?.id ?? '' });
  return await use(stream);
}

const pull = (graphroot: string, driver = 'overlay'): { status: number | null; stdout: string; stderr: string } => {
  const repository = `${graphroot}-${driver}-repository`;
  runCli(['--repo', repository, 'init', '--insecure']);
  return runCli([
    '--repo',
    repository,
    'oci',
    'pull',
    '--json',
    `containers-storage:[${driver}@${graphroot}]localhost/a:1`,
    'a',
  ]);
};

const imagesOf = (pulled: string): unknown => (JSON.parse(pulled) as { images: unknown }).images;

describe('content below a symlink of its own layer', () => {
  for (const [name, entries] of Object.entries(layers)) {
    test(name, async () => {
      const graphroot = storeOf(name, entries);
      const expected = entries.flatMap(({ content, at = '' }) => (content ? [at] : []));
      assert.deepEqual(await open(graphroot, namesOf), expected);
      const sent = await open(graphroot, (layer) => collect(encodeSplitdirfdstream(layer, () => 0)));
      await open(graphroot, async ({ directory: dir }) => {
        await using received = decodeSplitdirfdstream(memorySource([sent]), [dir.duplicate()]);
        assert.deepEqual(await namesOf(received), expected);
      });
      const { status, stderr } = pull(graphroot);
      assert.equal(status, 0, stderr);
    });
  }

  test('a chain of 41 is refused', async () => {
    const { status, stderr } = pull(storeOf('chain', [...usr, ...chain(41), { ...file('l41/x', 'usr/x') }]));
    assert.equal(status, 1);
    assert.match(stderr, /more symlinks in a path than are followed \(layer [0-9a-f]{64}, entry "l41"/);
  });

  test('a target that the layer does not have is an error', async () => {
    const { status, stderr } = pull(storeOf('missing', [...usr, link('l', 'gone'), file('l/x', 'elsewhere/x')]));
    assert.equal(status, 1);
    assert.match(stderr, /Error: importing a layer failed/);
  });

  test('a symlink of the tar leads nowhere outside of the layer', async () => {
    const entries = [
      ...usr,
      link('l', '../../../../../../../../../etc'),
      { name: 'l/passwd', content: readFileSync('/etc/passwd'), at: 'elsewhere' },
    ];
    const { status, stderr } = pull(storeOf('outside', entries));
    assert.equal(status, 1);
    assert.match(stderr, /No such file or directory.*entry "l\/passwd"/);
  });

  test('a symlink on the disk that the tar does not have is not followed', async () => {
    const entries = [...usr, file('usr/lib/x')];
    const graphroot = storeOf('swapped', entries);
    const diff = baseLayerFolder(graphroot, { entries });
    rmSync(join(diff, 'usr/lib'), { recursive: true });
    symlinkSync('.', join(diff, 'usr/lib'));
    const { status, stderr } = pull(graphroot);
    assert.equal(status, 1);
    assert.match(stderr, /Too many levels of symbolic links|ELOOP/);
  });
});

describe('content below a symlink of a lower layer, where vfs has unpacked it', () => {
  const base = [
    ...usr,
    directory('usr/lib/deep/'),
    link('lib', 'usr/lib'),
    link('usr/lib64', '../lib'),
    link('usr/lib/up', '../../usr'),
  ];
  const above: Record<string, MadeEntry[]> = {
    'one link': [file('lib/plugin.so'), file('lib/deep/x'), file('lib/deep/new folder/\xc3\xbc')],
    'a link to a link': [file('usr/lib64/x'), file('usr/lib64/deep/x')],
    'a way up': [file('lib/up/lib/up/x')],
    'nothing but folders': [file('usr/lib/deep/y'), file('usr/y')],
  };
  for (const [name, entries] of Object.entries(above)) {
    test(name, () => {
      const graphroot = join(folder, `vfs ${name}`);
      makeStore(graphroot, [{ name: 'localhost/a:1', layers: [{ entries: base }, { entries }] }]);
      // Both stores hold the same layers, whatever their drivers show.
      const overlay = pull(graphroot);
      toVfs(graphroot);
      const vfs = pull(graphroot, 'vfs');
      assert.equal(vfs.status, 0, vfs.stderr);
      assert.deepEqual(imagesOf(vfs.stdout), imagesOf(overlay.stdout));
    });
  }
});
