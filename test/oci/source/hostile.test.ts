import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdirSync, readdirSync, renameSync, symlinkSync, truncateSync, unlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { compress } from 'zstd-napi';
import { BridgeError } from '../../../src/errors.js';
import { openSource } from '../../../src/oci/source/open.js';
import { pullImage } from '../../../src/oci/pull/pull.js';
import { withoutLeak } from '../../support/open-fds.js';
import {
  newLayout,
  newRepository,
  sha256,
  tarOf,
  TYPES,
  type Layout,
  type LayerOfImage,
} from '../../support/images/source-layout.js';

const TAR = tarOf({ random: randomBytes(700_000), text: 'some text '.repeat(100_000) });
const OTHER = tarOf({ other: randomBytes(700_000) });
const GZIP = gzipSync(TAR);
const ZSTD = compress(TAR);

/** What is done to a layout with the image `it` of one layer; its image is published afterwards. */
type Damage = (layout: Layout) => ReturnType<Layout['image']>;

const layer =
  (change: Partial<LayerOfImage>): Damage =>
  (layout) =>
    layout.image([{ tar: TAR, ...change }]);
const changed = (bytes: Buffer, at: number): Buffer => {
  const copy = Buffer.from(bytes);
  copy[at] = (copy[at] as number) ^ 0x55;
  return copy;
};
/** A blob whose descriptor is right, changed afterwards. */
const behind =
  (blob: Buffer, change: (file: string) => void): Damage =>
  (layout) => {
    const image = layout.image([{ tar: TAR, blob }]);
    change(layout.fileOf(sha256(blob)));
    return image;
  };
const type = (mediaType: string): Partial<LayerOfImage> => ({ descriptor: { mediaType } });

const cases: [what: string, damage: Damage, code: string, message: RegExp][] = [
  ['a gzip layer that is cut', layer({ blob: GZIP.subarray(0, -1000) }), 'COMPRESSION', /cut off/],
  ['a gzip layer without its last byte', layer({ blob: GZIP.subarray(0, -1) }), 'COMPRESSION', /cut off/],
  ['a gzip layer of nothing but its magic', layer({ blob: GZIP.subarray(0, 2) }), 'COMPRESSION', /cut off/],
  // Bits 1 and 2 of the first byte after the header are the type of a block; there is none of type 3.
  [
    'a gzip layer with a block of an unknown type',
    layer({ blob: Buffer.from(GZIP).fill(0xff, 10, 11) }),
    'COMPRESSION',
    /gzip/,
  ],
  ['a gzip layer with a wrong checksum', layer({ blob: changed(GZIP, GZIP.length - 6) }), 'COMPRESSION', /gzip/],
  ['a zstd layer that is cut', layer({ blob: ZSTD.subarray(0, -1000) }), 'COMPRESSION', /zstd/],
  ['a zstd layer with a changed header', layer({ blob: changed(ZSTD, 4) }), 'COMPRESSION', /zstd/],
  ['a bzip2 layer', layer({ blob: Buffer.from('BZh91AY&SY') }), 'COMPRESSION', /bzip2/],
  ['an xz layer', layer({ blob: Buffer.from('\xfd7zXZ\0more', 'latin1') }), 'COMPRESSION', /xz/],
  ['a layer with another tar', layer({ blob: gzipSync(OTHER) }), 'DIGEST_MISMATCH', new RegExp(sha256(OTHER))],
  ['a plain layer that is no tar', layer({ blob: randomBytes(5000) }), 'TAR_CHECKSUM', /not a tar/],
  ['an empty layer', layer({ blob: Buffer.alloc(0) }), 'DIGEST_MISMATCH', /e3b0c44298fc/],
  [
    'a blob that was replaced by another of its size',
    behind(TAR, (file) => writeFileSync(file, changed(TAR, 2000))),
    'DIGEST_MISMATCH',
    /blob/,
  ],
  [
    'a gzip blob with changed bits that do not count',
    behind(GZIP, (file) => writeFileSync(file, changed(GZIP, 4))),
    'DIGEST_MISMATCH',
    /blob/,
  ],
  ['a blob that became shorter', behind(TAR, (file) => truncateSync(file, 1000)), 'BLOB_SIZE', /1000 bytes/],
  [
    'a blob that became longer',
    behind(GZIP, (file) => truncateSync(file, GZIP.length + 1)),
    'BLOB_SIZE',
    new RegExp(sha256(GZIP)),
  ],
  ['a missing blob', behind(GZIP, unlinkSync), 'NOT_FOUND', new RegExp(sha256(GZIP))],
  [
    'a blob that is a symlink to the right bytes',
    behind(GZIP, (file) => {
      renameSync(file, `${file}.moved`);
      symlinkSync(`${file}.moved`, file);
    }),
    'SYMLINK',
    /symlink/,
  ],
  [
    'a folder of blobs that is a symlink',
    (layout) => {
      const image = layout.image([{ tar: TAR }]);
      renameSync(join(layout.path, 'blobs'), join(layout.path, 'moved'));
      symlinkSync('moved', join(layout.path, 'blobs'));
      return image;
    },
    'SYMLINK',
    /symlink/,
  ],
  [
    'a wrong size in a layer’s descriptor',
    layer({ descriptor: { size: TAR.length - 1 } }),
    'BLOB_SIZE',
    /descriptor says/,
  ],
  [
    'a wrong digest in a layer’s descriptor',
    (layout) => layout.image([{ tar: TAR, descriptor: { digest: layout.put(changed(TAR, 600), 'x').digest } }]),
    'TAR_CHECKSUM',
    /tar/,
  ],
  [
    'a digest that is a path',
    layer({ descriptor: { digest: 'sha256:../../../../etc/passwd' } }),
    'MANIFEST_INVALID',
    /not a digest/,
  ],
  [
    'a digest of an unknown algorithm',
    layer({ descriptor: { digest: `md5:${'0'.repeat(32)}` } }),
    'MANIFEST_INVALID',
    /not a digest/,
  ],
  ['a layer of an unknown type', layer(type('application/vnd.example.layer')), 'LAYER_TYPE', /vnd.example.layer/],
  ['an encrypted layer', layer(type(`${TYPES.layer}+gzip+encrypted`)), 'LAYER_TYPE', /encrypted/],
  [
    'a foreign layer that is elsewhere',
    (layout) => {
      const image = layout.image([
        {
          tar: TAR,
          descriptor: {
            mediaType: 'application/vnd.docker.image.rootfs.foreign.diff.tar.gzip',
            urls: ['https://example.com/layer'],
          },
        },
      ]);
      unlinkSync(layout.fileOf(sha256(TAR)));
      return image;
    },
    'FOREIGN_LAYER',
    /example.com.*/,
  ],
  [
    'fewer layers than diff_ids',
    (layout) => layout.image([{ tar: TAR }], { rootfs: { type: 'layers', diff_ids: [sha256(TAR), sha256(OTHER)] } }),
    'LAYER_CHAIN',
    /1 layers, the config 2/,
  ],
  [
    'a config that was changed',
    (layout) => {
      const config = layout.put('{"architecture":"amd64"}', TYPES.config);
      writeFileSync(layout.fileOf(config.digest), '{"architecture":"arm64"}');
      return layout.manifest(config, []);
    },
    'DIGEST_MISMATCH',
    /config/,
  ],
  [
    'a config that is not JSON',
    (layout) => layout.manifest(layout.put('{', TYPES.config), []),
    'CONFIG_INVALID',
    /JSON/,
  ],
  [
    'a config of 17 MiB',
    (layout) => layout.manifest(layout.put(Buffer.alloc(17 << 20, ' '), TYPES.config), []),
    'FILE_TOO_LARGE',
    /17825792/,
  ],
  [
    'a manifest of 17 MiB',
    (layout) => layout.put(Buffer.alloc(17 << 20, '['), TYPES.manifest),
    'FILE_TOO_LARGE',
    /17825792/,
  ],
  [
    'a manifest nested a million deep',
    (layout) => layout.put('['.repeat(1 << 20), TYPES.manifest),
    'MANIFEST_INVALID',
    /JSON/,
  ],
  [
    'a manifest that calls itself an index',
    (layout) => layout.image([{ tar: TAR }], {}, { mediaType: TYPES.index }),
    'MEDIA_TYPE',
    /index/,
  ],
  [
    'an index that contains itself by its digest',
    (layout) => {
      const digest = `sha256:${'1'.repeat(64)}`;
      const index = JSON.stringify({
        schemaVersion: 2,
        mediaType: TYPES.index,
        manifests: [{ mediaType: TYPES.index, digest, size: 300 }],
      }).padEnd(300);
      writeFileSync(layout.fileOf(digest), index);
      return { mediaType: TYPES.index, digest, size: 300 };
    },
    'DIGEST_MISMATCH',
    /image index/,
  ],
  ['a negative size', (layout) => ({ ...layout.image([{ tar: TAR }]), size: -1 }), 'INDEX_INVALID', /size/],
];
for (const [what, damage, code, message] of cases) {
  test(`${what} is refused and leaves nothing with a name`, async (t) => {
    const layout = newLayout(t);
    layout.publish({ it: damage(layout) });
    const { path, repository } = await newRepository(t);
    assert.ok(repository.objects);
    await withoutLeak(async () => {
      await assert.rejects(pullOnce(), (error: unknown) => {
        assert.ok(error instanceof BridgeError, String(error));
        assert.equal(error.code, code, error.message);
        assert.match(error.message, message);
        return true;
      });
    });
    assert.deepEqual(
      readdirSync(path).filter((name) => name === 'streams' || name === 'images'),
      [],
    );

    async function pullOnce(): Promise<void> {
      await using source = await openSource(`oci:${layout.path}:it`);
      await pullImage(repository, source, { name: 'it' });
    }
  });
}

const notLayouts: [what: string, change: (path: string) => void, code: string][] = [
  ['no index.json', (path) => unlinkSync(join(path, 'index.json')), 'NOT_FOUND'],
  ['no oci-layout', (path) => unlinkSync(join(path, 'oci-layout')), 'NOT_FOUND'],
  [
    'a layout of the future',
    (path) => writeFileSync(join(path, 'oci-layout'), '{"imageLayoutVersion":"2.0.0"}'),
    'LAYOUT_INVALID',
  ],
  ['an oci-layout that is too long', (path) => truncateSync(join(path, 'oci-layout'), 1 << 20), 'LAYOUT_INVALID'],
  [
    'an index.json that is a symlink',
    (path) => {
      renameSync(join(path, 'index.json'), join(path, 'x'));
      symlinkSync('x', join(path, 'index.json'));
    },
    'SYMLINK',
  ],
  [
    'an index.json that is a folder',
    (path) => {
      unlinkSync(join(path, 'index.json'));
      mkdirSync(join(path, 'index.json'));
    },
    'NOT_A_FILE',
  ],
  ['an index.json of 1 TiB', (path) => truncateSync(join(path, 'index.json'), 2 ** 40), 'FILE_TOO_LARGE'],
];
for (const [what, change, code] of notLayouts) {
  test(`a folder with ${what} is refused`, async (t) => {
    const layout = newLayout(t);
    change(layout.publish({ it: layout.image([{ tar: TAR }]) }).path);
    await withoutLeak(() => assert.rejects(openSource(`oci:${layout.path}`), { code }));
  });
}

test('a layer that expands two thousandfold is stored without being held', async (t) => {
  const layout = newLayout(t);
  const tar = tarOf({ zeros: Buffer.alloc(300 << 20) });
  layout.publish({ it: layout.image([{ tar, blob: gzipSync(tar, { level: 1 }) }]) });
  const { repository } = await newRepository(t);
  const before = process.memoryUsage.rss();
  let most = 0;
  await using source = await openSource(`oci:${layout.path}`);
  await pullImage(repository, source, { onEvent: () => (most = Math.max(most, process.memoryUsage.rss())) });
  assert.ok(most - before < 100 << 20, `${(most - before) >> 20} MiB more`);
});
