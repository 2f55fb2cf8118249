// Files and answers that are read whole, and have no end. Each is tried in a process of its own, which ends by itself.
import assert from 'node:assert/strict';
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { stripForLegacy } from '../../src/layer/legacy-tar.js';
import { pushBlob } from '../../src/registry/upload.js';
import { listTags } from '../../src/registry/tags.js';
import { SplitstreamWriter } from '../../src/repository/splitstream/writer.js';
import { ZstdWriter } from '../../src/compress/zstd.js';
import type { Chunk } from '../../src/layer/stream.js';
import { extension } from '../support/layers/make-tar.js';
import { scratch } from '../support/scratch.js';
import { destinationOf, scriptedRegistry, sha256 } from '../support/servers/scripted-registry.js';
import { attack } from './attack.js';

const MKCOMPOSEFS = fileURLToPath(new URL('../../../bin/mkcomposefs', import.meta.url));
const CERTIFICATE = '-----BEGIN CERTIFICATE-----\n';
const MODULES = {
  systemAuthorities: '../../src/http/authorities.js',
  readIfThere: '../../src/storage/containers-config.js',
  'readIfThere as readTable': '../../src/storage/subordinate-ids.js',
  linesOf: '../../src/fd/read-whole.js',
};

/**
 * What a call comes to: its value, or the code and message of its error. It gets 4 GB, of which newer versions of Node
 * set much aside, and 20 seconds.
 */
function outcome(call: string): string {
  const imports = Object.entries(MODULES).map(
    ([names, path]) => `import { ${names} } from '${new URL(path, import.meta.url).href}';`,
  );
  const code = `${imports.join('\n')}
    try { console.log(JSON.stringify(${call})); } catch (error) { console.log(error.code ?? error.name, error.message); }`;
  const { status, signal, stdout, stderr } = spawnSync(
    'prlimit',
    ['--data=4000000000', '--', process.execPath, '--input-type=module', '-e', code],
    { encoding: 'utf8', timeout: 20_000, killSignal: 'SIGKILL' },
  );
  assert.deepEqual([status, signal], [0, null], stderr.slice(0, 500));
  return stdout.trim();
}

/** A fifo, a file of 1 TiB that takes no room, and a device without end, by what is said of them. */
function unfit(t: TestContext, limit: number): [path: string, says: string][] {
  const folder = scratch(t, { sparse: '' });
  const [fifo, sparse] = [join(folder, 'fifo'), join(folder, 'sparse')];
  execFileSync('mkfifo', [fifo]);
  truncateSync(sparse, 2 ** 40);
  return [
    [fifo, 'is a pipe'],
    [sparse, `has more than ${limit} bytes`],
    ['/dev/zero', `has more than ${limit} bytes`],
  ];
}

for (const variable of ['SSL_CERT_FILE', 'NODE_EXTRA_CA_CERTS'])
  attack(`${variable} names a fifo, a file of 1 TiB, a device`, {}, (t) => {
    for (const [path, says] of unfit(t, 16 << 20)) {
      const said = outcome(`systemAuthorities({ ${variable}: ${JSON.stringify(path)} })`);
      assert.equal(
        said,
        `BAD_CERTIFICATE ${path} ${says}; certificate authorities are to be in regular files of at most ` +
          `${16 << 20} bytes together`,
      );
    }
    return 'refused: BAD_CERTIFICATE';
  });

attack('the folder of SSL_CERT_DIR holds a fifo, a file of 1 TiB', {}, (t) => {
  const folder = scratch(t, { 'a.pem': CERTIFICATE, huge: '' });
  execFileSync('mkfifo', [join(folder, 'fifo')]);
  truncateSync(join(folder, 'huge'), 2 ** 40);
  assert.equal(
    outcome(`systemAuthorities({ SSL_CERT_DIR: ${JSON.stringify(folder)} })`),
    JSON.stringify([CERTIFICATE]),
  );
  return 'passed over, as all that is no certificate';
});

attack('the folder of SSL_CERT_DIR holds certificates without end', {}, (t) => {
  const folder = scratch(t);
  for (const name of ['a', 'b', 'c']) {
    writeFileSync(join(folder, name), `${name}${CERTIFICATE}`);
    truncateSync(join(folder, name), 6 << 20);
  }
  assert.match(
    outcome(`systemAuthorities({ SSL_CERT_DIR: ${JSON.stringify(folder)} })`),
    /^BAD_CERTIFICATE .* holds more than 16777216 bytes of certificates;/,
  );
  return 'refused: BAD_CERTIFICATE';
});

attack('a configuration file is a fifo, has 1 TiB, is a device', {}, (t) => {
  for (const [path, says] of unfit(t, 4 << 20))
    assert.equal(outcome(`readIfThere(${JSON.stringify(path)})`), `BAD_CONFIG ${path} ${says}`);
  return 'refused: BAD_CONFIG';
});

attack('a table of users is a fifo, has 1 TiB, is a device', {}, (t) => {
  for (const [path, says] of unfit(t, 32 << 20))
    assert.equal(
      outcome(`readTable(${JSON.stringify(path)})`),
      `BAD_CONFIG ${path} ${says}; it says which ids belong to the owner of a store`,
    );
  return 'refused: BAD_CONFIG';
});

test('lists of the kernel are read line by line, and a line has a limit', (t) => {
  const file = join(scratch(t, { lines: `${'a'.repeat(70_000)}\nb\n\nlast` }), 'lines');
  assert.equal(outcome(`[...linesOf(${JSON.stringify(file)}, 100_000)].map((line) => line.length)`), '[70000,1,0,4]');
  assert.equal(
    outcome(`[...linesOf(${JSON.stringify(file)}, 1000)]`),
    'UnfitFileError has a line of more than 1000 bytes',
  );
  assert.equal(outcome(`[...linesOf('/dev/zero', 1 << 20)]`), 'UnfitFileError has a line of more than 1048576 bytes');
});

attack('a registry lists tags on pages of 4 MiB without end', {}, async (t) => {
  const page = Buffer.alloc(4 << 20, ' ');
  page.write('{"tags":["it"]}');
  const server = await scriptedRegistry(t, {
    fault: (request, response, number) => {
      if (!request.url?.includes('/tags/list')) return false;
      response.setHeader('link', `</v2/a/b/tags/list?last=${number}>; rel="next"`);
      response.end(page);
      return true;
    },
  });
  const listed = async (): Promise<void> => {
    let count = 0;
    for await (const _ of listTags(destinationOf(t, server))) assert.ok(++count <= 32, 'it goes on');
  };
  await assert.rejects(listed(), {
    code: 'REGISTRY_ANSWER',
    message: /its list has more than 134217728 bytes; name the image by tag or digest/,
  });
  return 'refused after 128 MiB: REGISTRY_ANSWER';
});

test('a small blob to be pushed that never ends is not collected', async (t) => {
  const server = await scriptedRegistry(t);
  let pieces = 0;
  const blob = {
    digest: sha256(Buffer.alloc(10)),
    size: 10,
    async *open(): AsyncGenerator<Buffer> {
      for (; pieces < 1000; pieces++) yield Buffer.alloc(7);
    },
  };
  await assert.rejects(pushBlob(destinationOf(t, server), blob), /a blob has more than its 10 bytes/);
  assert.equal(pieces, 1);
});

attack('a tar has global headers without end, for a client of GetSplitFDStream', {}, async () => {
  const global = extension('g', Buffer.alloc(1 << 19));
  let sent = 0;
  const endless = {
    async *[Symbol.asyncIterator](): AsyncGenerator<readonly Chunk[]> {
      for (; sent < 100; sent++) yield [{ kind: 'bytes', bytes: global }];
    },
    async [Symbol.asyncDispose]() {},
  };
  const read = async (): Promise<void> => {
    for await (const _ of stripForLegacy(endless));
  };
  await assert.rejects(read(), {
    code: 'TAR_EXTENSION',
    message: /tar headers of more than 4194304 bytes before one entry; .*varlink/,
  });
  assert.ok(sent < 10, String(sent));
  return 'refused after 4 MiB: TAR_EXTENSION';
});

attack('a layer refers to more than its splitstream may', {}, () => {
  const writer = new SplitstreamWriter(1n, 'sha512');
  const all = (): void => {
    for (let at = 0; at < 300_000; at++) writer.addNamedRef('it', at.toString(16).padStart(128, '0'));
  };
  assert.throws(all, {
    code: 'SPLITSTREAM_LIMIT',
    message: 'more than 262144 different objects in one splitstream; split the layer',
  });
  return 'refused: SPLITSTREAM_LIMIT';
});

attack('a layer whose headers do not compress', {}, () => {
  const writer = new ZstdWriter(1 << 20);
  const all = (): void => {
    for (let at = 0; at < 4; at++) writer.write(randomBytes(1 << 19));
  };
  assert.throws(all, { code: 'SPLITSTREAM_LIMIT', message: /longer than 1048576 bytes; split the layer/ });
  return 'refused: SPLITSTREAM_LIMIT';
});

test('names of one splitstream, which readers take 16 MiB of', async () => {
  const writer = new SplitstreamWriter(1n, 'sha256');
  for (let at = 0; at < 17; at++) writer.addNamedRef(String(at).padEnd(1 << 20, 'x'), '0'.repeat(64));
  await assert.rejects(writer.finish(), { code: 'SPLITSTREAM_LIMIT' });
});

attack(
  'a symlink on a filesystem that says it has 4 EiB',
  {
    skip:
      process.geteuid?.() !== 0
        ? 'needs root: a filesystem of its own is mounted'
        : existsSync('/dev/fuse')
          ? false
          : 'the kernel has no FUSE',
  },
  async (t) => {
    const folder = scratch(t);
    const mountpoint = join(folder, 'fuse');
    mkdirSync(mountpoint);
    const server = spawn(
      process.execPath,
      [fileURLToPath(new URL('./silent-fuse.program.js', import.meta.url)), mountpoint, String(2 ** 62), 'link'],
      { stdio: ['ignore', 'pipe', 'inherit'] },
    );
    try {
      await once(server.stdout, 'data');
      const { status, signal, stdout, stderr } = spawnSync(MKCOMPOSEFS, ['--print-digest-only', mountpoint], {
        encoding: 'utf8',
        timeout: 20_000,
        killSignal: 'SIGKILL',
      });
      assert.deepEqual([status, signal, stderr], [0, null, '']);
      assert.match(stdout, /^[0-9a-f]{64}\n$/);
    } finally {
      server.kill('SIGKILL');
      spawnSync('umount', ['-l', mountpoint]);
    }
    return 'its target has as many bytes as there are';
  },
);
