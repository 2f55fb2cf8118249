// Stores as users have them, which are odder than those that tests usually make: by the shipped command, in process and
// over sockets.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { readChunk } from '../../src/layer/content.js';
import { LayerServer } from '../../src/oci/remote/layer-server.js';
import { openSocketImage } from '../../src/oci/source/socket.js';
import { listSplitfdstreamImages } from '../../src/oci/source/splitfdstream.js';
import { hostPlatform } from '../../src/spec/platform.js';
import { reply, scriptedVarlink, type VarlinkScript } from '../support/servers/scripted-varlink-server.js';
import { TemporaryFolder } from '../support/filesystems.js';
import { addList, diffIdOf, makeStore, type MadeEntry, type MadeImage } from '../support/images/made-store.js';
import { cfsbridge, runCli } from '../support/cli/run-cli.js';

const usr: MadeEntry = { name: 'usr/', type: '5', mode: 0o755 };
const file = (text: string): MadeEntry => ({ name: 'usr/file', content: Buffer.from(text.padEnd(100, '.')) });
const HERE = hostPlatform().architecture;
const OTHER = HERE === 's390x' ? 'arm64' : 's390x';
const image = (name: string, architecture: string, more: Partial<MadeImage> = {}): MadeImage => ({
  name: `localhost/${name}:latest`,
  layers: [{ entries: [usr, file(name)] }],
  config: { architecture },
  ...more,
});

let folder: TemporaryFolder;
let graphroot: string;
let count = 0;
before(() => {
  folder = new TemporaryFolder();
  graphroot = join(folder.path, 'store');
  makeStore(graphroot, [
    image('here', HERE),
    image('other', OTHER),
    image('silent', '', { config: { architecture: undefined, os: undefined } }),
    image('empty-words', ''),
    image('kernel-word', 'x86_64'),
    image('untyped', HERE, { docker: true, configType: 'application/octet-stream' }),
    { name: 'localhost/no-layers:latest', layers: [] },
    { name: 'localhost/no-rootfs:latest', layers: [], config: { rootfs: {}, history: null } },
    { name: 'localhost/null-layers:latest', layers: [], config: { rootfs: { type: 'layers', diff_ids: null } } },
    {
      name: 'localhost/sized:latest',
      layers: [
        {
          entries: [
            { ...usr, announced: 4096 },
            file('sized'),
            { name: 'usr/link', type: '2', link: 'file', announced: 100 },
            { name: 'usr/hard', type: '1', link: 'usr/file', announced: 100 },
            { name: 'usr/end', content: Buffer.alloc(2000, 'end') },
          ],
        },
      ],
    },
    {
      name: 'localhost/sparse:latest',
      layers: [{ entries: [usr, { name: 'usr/sparse', type: 'S', magic: 'ustar  \0', announced: 1 << 20 }] }],
    },
  ]);
  addList(graphroot, 'localhost/list:latest', [
    { image: 'localhost/other:latest', platform: { os: 'linux', architecture: OTHER } },
    { image: 'localhost/here:latest', platform: { os: 'linux', architecture: HERE } },
    { image: 'localhost/nowhere:latest', platform: { os: 'linux', architecture: 'riscv64' } },
    { image: 'localhost/silent:latest', platform: null },
  ]);
  addList(graphroot, 'localhost/null-list:latest', [
    { image: 'localhost/other:latest', platform: {} },
    { image: 'localhost/here:latest', platform: { os: 'linux', architecture: HERE } },
  ]);
  addList(graphroot, 'localhost/empty-list:latest', []);
});
after(() => folder[Symbol.dispose]());

interface Pulled {
  status: number | null;
  stderr: string;
  /** content of /usr/file */
  text: string | undefined;
}

function pull(reference: string, ...options: string[]): Pulled {
  const repository = join(folder.path, `repository-${count++}`);
  assert.equal(runCli(['init', '--insecure', repository]).status, 0);
  const env = { ...process.env, CONTAINERS_STORAGE_ROOT: graphroot };
  const { status, stderr } = runCli(['--repo', repository, 'oci', 'pull', ...options, reference, 'tag'], { env });
  if (status !== 0) return { status, stderr, text: undefined };
  const dump = runCli(['--repo', repository, 'oci', 'dump', 'tag']);
  assert.equal(dump.status, 0, dump.stderr);
  const object = /^\/usr\/file \d+ \S+ \S+ \S+ \S+ \S+ \S+ (\S+)/m.exec(dump.stdout)?.[1];
  const text =
    object === undefined ? undefined : readFileSync(join(repository, 'objects', object), 'utf8').replace(/\.+$/, '');
  return { status, stderr, text };
}

const ways = {
  'in process': (name: string, ...options: string[]): Promise<Pulled> =>
    Promise.resolve(pull(`containers-storage:localhost/${name}:latest`, ...options)),
  'from cfsbridge serve': (name: string, ...options: string[]): Promise<Pulled> =>
    withServer([], (socket) => pull(`localhost/${name}:latest`, '--socket', socket, ...options)),
};

async function withServer<T>(options: readonly string[], use: (socket: string) => T | Promise<T>): Promise<T> {
  const socket = join(folder.path, `serve-${count++}.sock`);
  const server = spawn(process.execPath, [cfsbridge, 'serve', '--socket', socket, '--root', graphroot, ...options], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const ended = once(server, 'exit');
  await once(server.stderr, 'data');
  assert.ok(existsSync(socket));
  try {
    return await use(socket);
  } finally {
    server.kill('SIGTERM');
    await ended;
  }
}

for (const [way, pulled] of Object.entries(ways)) {
  describe(way, () => {
    test('a manifest list gives the image for this machine, or the one that is asked for', async () => {
      const usual = await pulled('list');
      assert.deepEqual([usual.status, usual.text], [0, 'here'], usual.stderr);
      assert.doesNotMatch(usual.stderr, /is for/);
      assert.equal((await pulled('list', '--platform', `linux/${OTHER}`)).text, 'other');
      assert.equal((await pulled('null-list')).text, 'here');
    });

    test('a manifest list says what it does not have', async () => {
      const absent = await pulled('list', '--platform', 'linux/riscv64');
      assert.equal(absent.status, 1);
      assert.match(absent.stderr, /has the image sha256:[0-9a-f]{64} for linux\/riscv64, which is not in the store/);
      const empty = await pulled('empty-list');
      assert.equal(empty.status, 1);
      assert.match(empty.stderr, new RegExp(`has no image for linux/${HERE}, it is empty`));
    });

    test('an image of another platform is taken, and one line says so', async () => {
      const { status, stderr, text } = await pulled('other');
      assert.deepEqual([status, text], [0, 'other'], stderr);
      assert.deepEqual(
        stderr.split('\n').filter((line) => line.includes(' is for ')),
        [`the image is for linux/${OTHER}, not for linux/${HERE}`],
      );
      assert.doesNotMatch((await pulled('other', '--platform', `linux/${OTHER}`)).stderr, /is for/);
    });

    for (const name of ['silent', 'empty-words', ...(HERE === 'amd64' ? ['kernel-word'] : [])]) {
      test(`an image that says of its platform what "${name}" says is taken without a word`, async () => {
        const { status, stderr, text } = await pulled(name);
        assert.deepEqual([status, text], [0, name], stderr);
        assert.doesNotMatch(stderr, /is for/);
      });
    }

    test('a config whose type says nothing, with layers that are tars, makes an image', async () => {
      const { status, stderr, text } = await pulled('untyped');
      assert.deepEqual([status, text], [0, 'untyped'], stderr);
    });

    for (const name of ['no-layers', 'no-rootfs', 'null-layers']) {
      test(`an image without layers is an image: ${name}`, async () => {
        const { status, stderr } = await pulled(name);
        assert.equal(status, 0, stderr);
      });
    }

    test('the size of links and folders counts for nothing', async () => {
      const { status, stderr, text } = await pulled('sized');
      assert.deepEqual([status, text], [0, 'sized'], stderr);
    });
  });
}

test('a varlink server for one image counts the layers of the one that a manifest list has for this machine', async () => {
  const diffId = diffIdOf([usr, file('here')]);
  await withServer(['--image', 'localhost/list:latest'], async (socket) => {
    using store = await LayerServer.connect(socket, { silenceLimit: 10_000 });
    await using layer = await store!.layer(0, { layer_index: 0 }, new AbortController().signal);
    const hash = createHash('sha256');
    for await (const chunks of layer) {
      for (const chunk of chunks) {
        if (chunk.kind === 'bytes') hash.update(chunk.bytes);
        else for await (const bytes of readChunk(chunk)) hash.update(bytes);
      }
    }
    assert.equal(`sha256:${hash.digest('hex')}`, diffId);
  });
});

for (const features of [['splitdirfdstream-v0'], ['splitdirfdstream-v0', 'source-containers-storage']]) {
  test(`where a varlink server has ${features.at(-1)}, the list is looked up here`, async () => {
    const script: VarlinkScript = {
      'org.varlink.service.GetInfo': () =>
        reply({ vendor: 'v', product: 'p', version: '1', url: '', interfaces: ['org.composefs.Oci'] }),
      'org.composefs.Oci.GetInfo': () => reply({ features }),
    };
    await using server = await scriptedVarlink(folder.path, script);
    for (const [platform, architecture] of [
      [undefined, HERE],
      [{ os: 'linux', architecture: OTHER }, OTHER],
    ] as const) {
      await using source = await openSocketImage(
        server.path,
        `containers-storage:[@${graphroot}]localhost/list:latest`,
        { platform },
      );
      assert.equal((JSON.parse(source.config.toString()) as { architecture: string }).architecture, architecture);
    }
  });
}

test('what the store cannot rebuild is called that, and not damaged', () => {
  const { status, stderr } = pull('containers-storage:localhost/sparse:latest');
  assert.equal(status, 1);
  assert.match(stderr, /the exact tar cannot be rebuilt: it has a sparse file.*usr\/sparse/);
  assert.doesNotMatch(stderr, /damaged/);
});

for (const platform of ['linux', 'linux/', 'linux/arm64/v8/x', '']) {
  test(`--platform ${JSON.stringify(platform)} is a wrong usage`, () => {
    assert.equal(runCli(['oci', 'pull', '--platform', platform, 'oci:x']).status, 2);
  });
}

describe('one odd record does not close the store', () => {
  const DIGEST = `sha256:${'1'.repeat(64)}`;
  const LONG = 'x'.repeat(200);
  const layers: [what: string, record: object][] = [
    ['diff-digest of another algorithm', { id: 'odd', 'diff-digest': `sha512:${'1'.repeat(128)}` }],
    ['an id of 200 characters', { id: LONG }],
    ['a toc-digest that is no text', { id: 'odd', 'toc-digest': { algorithm: 'sha256' } }],
    ['a parent that is a path', { id: 'odd', parent: '../../etc' }],
    ['no id', { 'diff-digest': DIGEST }],
  ];
  const images: [what: string, record: object][] = [
    ['a digest of another kind', { id: 'odd', names: ['localhost/odd:latest'], digest: 'md5:00' }],
    ['a digest that is no text', { id: 'odd', names: ['localhost/odd:latest'], digest: 5 }],
    ['an id of 200 characters', { id: LONG, names: ['localhost/odd:latest'], digest: DIGEST }],
    ['an id that is a number', { id: 7, names: ['localhost/odd:latest'], digest: DIGEST }],
    ['no id', { names: ['localhost/odd:latest'] }],
    ['an id that is a path', { id: '../../etc', names: ['localhost/odd:latest'], digest: DIGEST }],
  ];
  const oddStore = (): string => {
    const path = join(folder.path, `odd-${count++}`);
    makeStore(path, [image('here', HERE)]);
    return path;
  };
  const add = (path: string, record: object): void =>
    writeFileSync(path, JSON.stringify([record, ...(JSON.parse(readFileSync(path, 'utf8')) as object[])]));

  for (const [what, record] of layers) {
    test(`a layer with ${what}`, () => {
      const odd = oddStore();
      add(join(odd, 'overlay-layers/layers.json'), record);
      assert.equal(pull(`containers-storage:[@${odd}]localhost/here:latest`).text, 'here');
      if (!('id' in record) || record.id !== 'odd') return;
      add(join(odd, 'overlay-images/images.json'), { id: 'asks', names: ['localhost/asks:latest'], layer: 'odd' });
      const { status, stderr } = pull(`containers-storage:[@${odd}]localhost/asks:latest`);
      assert.equal(status, 1);
      assert.match(stderr, /layers\.json: the record of "odd" is odd: /);
    });
  }

  for (const [what, record] of images) {
    test(`an image with ${what}`, () => {
      const odd = oddStore();
      add(join(odd, 'overlay-images/images.json'), record);
      assert.equal(pull(`containers-storage:[@${odd}]localhost/here:latest`).text, 'here');
      const { status, stderr } = pull(`containers-storage:[@${odd}]localhost/odd:latest`);
      assert.equal(status, 1);
      assert.match(stderr, /images\.json: the record of ".*" is odd: |no manifest in the store|is no digest of/);
    });
  }

  for (const text of ['', 'null']) {
    test(`index files that hold ${JSON.stringify(text)}, in an additional store, too`, () => {
      const [odd, additional] = [oddStore(), oddStore()];
      writeFileSync(join(odd, 'overlay-layers/volatile-layers.json'), text);
      for (const name of [
        'overlay-layers/layers.json',
        'overlay-layers/volatile-layers.json',
        'overlay-images/images.json',
      ])
        writeFileSync(join(additional, name), text);
      assert.equal(
        pull(`containers-storage:[overlay@${odd}+${odd}:overlay.imagestore=${additional}]localhost/here:latest`).text,
        'here',
      );
      assert.equal(
        pull(`containers-storage:[overlay@${additional}+${odd}:overlay.imagestore=${odd}]localhost/here:latest`).text,
        'here',
      );
    });
  }

  test('a server lists the images that can be had', async () => {
    const odd = oddStore();
    for (const [, record] of images) add(join(odd, 'overlay-images/images.json'), record);
    const socket = join(folder.path, `list-${count++}.sock`);
    const server = spawn(process.execPath, [cfsbridge, 'serve', '--socket', socket, '--root', odd], {
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    const ended = once(server, 'exit');
    await once(server.stderr, 'data');
    try {
      const listed = await listSplitfdstreamImages(socket);
      assert.deepEqual(
        listed.flatMap(({ names }) => names).filter((name) => name.includes('here')),
        ['localhost/here:latest'],
      );
    } finally {
      server.kill('SIGTERM');
      await ended;
    }
  });
});
