import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { cfsbridge } from '../support/cli/run-cli.js';
import { askWith, buildPeer, start, type Report, type Running } from '../peers/peers.js';
import { smallFile, smallIndex, unpackSmallStore, type SmallStore } from '../support/images/small-store.js';

const bigStore = join(process.env['CFSBRIDGE_PEERS'] ?? '/var/tmp/peers', 'share/store');

/** Images with tars that end in more or fewer than the two blocks of zeros that clients put there. */
const otherEnds = new Set(['zeta_dotgz', 'zeta_gnu', 'zeta_notrailer', 'zeta_oneblock']);

for (const language of ['go', 'rust'] as const) {
  const peer = buildPeer(`jsonrpc-${language}`);
  const program = 'program' in peer ? peer : { program: '' };

  describe(`a ${language} client of the first protocol with our server`, {
    skip: 'missing' in peer && peer.missing,
  }, () => {
    describe('the small store', () => {
      let store: SmallStore;
      let folder: string;
      let server: Running;
      const socket = (): string => join(folder, 'socket');

      before(async () => {
        store = unpackSmallStore();
        folder = mkdtempSync(join(tmpdir(), 'cfsbridge-peer-'));
        server = await start([cfsbridge, 'serve', '--socket', socket(), '--root', store.graphroot]);
      });
      after(async () => {
        await server[Symbol.asyncDispose]();
        rmSync(folder, { recursive: true });
        store.remove();
      });

      for (const image of Object.values(smallIndex()))
        test(`${image.names[0]}: documents and layers`, () => {
          const report = askWith(program, socket(), image.names[0] as string);
          assert.equal(report.manifest, smallFile(image, 'manifest.json').toString());
          assert.equal(report.config, smallFile(image, 'config.json').toString());
          if (otherEnds.has(image.dir)) assert.notDeepEqual(digests(report), diffIds(report));
          else assert.deepEqual(digests(report), diffIds(report));
        });

      test('an image that is not there: the client gets the reason', () => {
        assert.throws(() => askWith(program, socket(), 'localhost/none:such'), /none:such/);
        assert.equal(server.errors().split('\n').length, 2, 'the server goes on without a word');
      });
    });

    describe('a real store, with RLIMIT_NOFILE 1024 on both sides', {
      skip: existsSync(bigStore) ? false : 'there is no store share/store beside the real programs',
    }, () => {
      let folder: string;
      let server: Running;
      before(async () => {
        folder = mkdtempSync(join(tmpdir(), 'cfsbridge-peer-'));
        server = await start([cfsbridge, 'serve', '--socket', join(folder, 'socket'), '--root', bigStore]);
      });
      after(async () => {
        await server[Symbol.asyncDispose]();
        rmSync(folder, { recursive: true });
      });

      for (const [name, layers] of Object.entries({ base: 1, mid: 2, many: 3 }))
        test(`localhost/${name}`, () => {
          const report = askWith(program, join(folder, 'socket'), `localhost/${name}:latest`);
          assert.equal(report.layers.length, layers);
          assert.deepEqual(digests(report), diffIds(report));
          assert.ok(
            report.layers.every(({ files }) => files > 0),
            'files come as descriptors',
          );
        });
    });
  });
}

function digests({ layers }: Report): string[] {
  return layers.map(({ digest }) => digest).reverse();
}

function diffIds({ config }: Report): string[] {
  return (JSON.parse(config) as { rootfs: { diff_ids: string[] } }).rootfs.diff_ids;
}
