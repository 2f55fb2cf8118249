// Documents as Go's programs write and read them, in every transport of files: what is null or absent is empty.
import assert from 'node:assert/strict';
import { copyFileSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test, type TestContext } from 'node:test';
import { imageFsckText } from '../../../src/cli/reports/fsck.js';
import { fsckImages } from '../../../src/oci/repair/fsck.js';
import { pullArtifact } from '../../../src/oci/pull/artifact.js';
import { openSource } from '../../../src/oci/source/open.js';
import { pullImage } from '../../../src/oci/pull/pull.js';
import type { PullEvent, PullResult } from '../../../src/oci/pull/types.js';
import { hostPlatform, parsePlatform, platformRank, showPlatform } from '../../../src/spec/platform.js';
import { memorySource } from '../../support/layers/streams.js';
import {
  archiveOf,
  newFolder,
  newLayout,
  newRepository,
  sha256,
  tarOf,
  TYPES,
  writeIn,
  type Described,
  type Layout,
} from '../../support/images/source-layout.js';

const TAR = tarOf({ file: 'x'.repeat(100) });
const HERE = hostPlatform();
const OTHER = HERE.architecture === 's390x' ? 'arm64' : 's390x';

interface Documents {
  config: object;
  /** members of the manifest besides the config */
  manifest?: object;
  configType?: string;
}

/** The same image in a transport. @returns its reference */
type Make = (t: TestContext, documents: Documents, layers: readonly Buffer[]) => string;

function described(
  layout: Layout,
  { config, manifest, configType = TYPES.config }: Documents,
  layers: readonly Buffer[],
): Described {
  return layout.manifest(
    layout.putJson(config, configType),
    layers.map((layer) => layout.put(layer, TYPES.layer)),
    manifest,
  );
}

const transports: Record<string, Make> = {
  oci: (t, documents, layers) => {
    const layout = newLayout(t);
    return `oci:${layout.publish({ image: described(layout, documents, layers) }).path}`;
  },
  'oci-archive': (t, documents, layers) => {
    const layout = newLayout(t);
    layout.publish({ image: described(layout, documents, layers) });
    const path = join(newFolder(t), 'archive.tar');
    const files = (readdirSync(layout.path, { recursive: true }) as string[]).filter((name) =>
      /^(oci-layout|index\.json|blobs\/sha256\/.)/.test(name),
    );
    return `oci-archive:${writeIn(path, archiveOf(files.map((name) => [name, readFileSync(join(layout.path, name))] as const)))}`;
  },
  dir: (t, documents, layers) => {
    const layout = newLayout(t);
    const { digest } = described(layout, documents, layers);
    const path = newFolder(t);
    for (const name of readdirSync(join(layout.path, 'blobs/sha256')))
      copyFileSync(join(layout.path, 'blobs/sha256', name), join(path, name));
    copyFileSync(layout.fileOf(digest), join(path, 'manifest.json'));
    return `dir:${path}`;
  },
  'docker-archive': (t, { config }, layers) => {
    const names = layers.map((_, index) => `${index}.tar`);
    const listing = JSON.stringify([{ Config: 'config', RepoTags: null, Layers: layers.length > 0 ? names : null }]);
    return `docker-archive:${writeIn(join(newFolder(t), 'image.tar'), archiveOf([...names.map((name, index) => [name, layers[index] as Buffer] as const), ['config', JSON.stringify(config)], ['manifest.json', listing]]))}`;
  },
};

async function pulled(t: TestContext, reference: string): Promise<PullResult & { remarks: PullEvent[] }> {
  const { repository } = await newRepository(t);
  await using source = await openSource(reference);
  const remarks: PullEvent[] = [];
  const result = await pullImage(repository, source, {
    onEvent: (event) => void (event.kind === 'platform' && remarks.push(event)),
  });
  return { ...result, remarks };
}

const rootfs = { type: 'layers', diff_ids: [sha256(TAR)] };

for (const [transport, make] of Object.entries(transports)) {
  describe(transport, () => {
    const silent: [what: string, config: object][] = [
      ['neither os nor architecture', { rootfs }],
      ['empty words', { os: '', architecture: '', rootfs }],
      ['null', { os: null, architecture: null, variant: null, created: null, config: null, history: null, rootfs }],
      ...(HERE.architecture === 'amd64'
        ? [["the kernel's word", { os: 'linux', architecture: 'x86_64', rootfs }] as [string, object]]
        : []),
    ];
    for (const [what, config] of silent) {
      test(`${what} for a platform: taken without a word`, async (t) => {
        const { images, remarks } = await pulled(t, make(t, { config }, [TAR]));
        assert.deepEqual([images.size > 0, remarks], [true, []]);
      });
    }

    test('a single image of another platform is taken, and told', async (t) => {
      const { images, remarks } = await pulled(
        t,
        make(t, { config: { os: 'linux', architecture: OTHER, rootfs } }, [TAR]),
      );
      assert.ok(images.size > 0);
      assert.deepEqual(remarks, [
        { kind: 'platform', image: { os: 'linux', architecture: OTHER, variant: undefined }, wanted: HERE },
      ]);
    });

    const empty: [what: string, config: object, manifest?: object][] = [
      [
        'layers and diff_ids that are null',
        { ...HERE, rootfs: { type: 'layers', diff_ids: null } },
        { layers: null, annotations: null },
      ],
      ['no layers and no diff_ids', { ...HERE, rootfs: { type: 'layers' } }, { layers: undefined }],
      ['an empty rootfs', { ...HERE, history: null, rootfs: {} }],
      ['no rootfs', { ...HERE }],
    ];
    for (const [what, config, manifest] of empty) {
      test(`${what}: an image without layers`, async (t) => {
        const { images, layers } = await pulled(t, make(t, { config, ...(manifest && { manifest }) }, []));
        assert.deepEqual([images.size > 0, layers], [true, []]);
      });
    }

    // A docker archive has no types.
    if (transport === 'docker-archive') return;
    test('a config whose type says nothing makes an image where its layers are tars and it has their diff_ids', async (t) => {
      const { images, layers } = await pulled(
        t,
        make(t, { config: { ...HERE, rootfs }, configType: 'application/octet-stream' }, [TAR]),
      );
      assert.deepEqual([images.size > 0, layers.map(({ diffId }) => diffId)], [true, [sha256(TAR)]]);
      const artifact = await pulled(
        t,
        make(t, { config: { any: 'thing' }, configType: 'application/octet-stream' }, [TAR]),
      );
      assert.equal(artifact.images.size, 0);
    });
  });
}

test('fsck says what to do with an image that an earlier version stored as an artifact', async (t) => {
  const layout = newLayout(t);
  layout.publish({
    image: described(
      layout,
      {
        config: { ...HERE, rootfs: { type: 'layers', diff_ids: [sha256(TAR)] } },
        configType: 'application/octet-stream',
      },
      [TAR],
    ),
  });
  const { repository } = await newRepository(t);
  await using source = await openSource(`oci:${layout.path}`);
  const { manifest, config } = source;
  const blob = { digest: sha256(TAR), size: TAR.length, open: () => Promise.resolve(memorySource([TAR])) };
  await pullArtifact(repository, { ...source, manifest, config, blobs: [blob] }, { name: 'it' });
  const found = async (): Promise<string> => imageFsckText(await fsckImages(repository, 'it'));
  assert.match(await found(), /is not a layer; an earlier version stored this image as an artifact: pull it again/);
  await pullImage(repository, source, { name: 'it' });
  assert.doesNotMatch(await found(), /is not a layer/);
});

test('an entry of an index whose platform is null or says nothing does not spoil it, and comes last', async (t) => {
  const layout = newLayout(t);
  const image = (text: string, config: object): Described => layout.image([{ tar: tarOf({ file: text }) }], config);
  const wanted = { ...image('wanted', HERE), platform: HERE };
  const other = { ...image('other', { architecture: OTHER }), platform: {} };
  const silent = { ...image('silent', { os: '', architecture: '' }), platform: null };
  const pull = async (...entries: Described[]): Promise<string> =>
    (await pulled(t, `oci:${layout.publish({ all: layout.index(entries) }).path}`)).manifestDigest;
  assert.equal(await pull(other, silent, wanted), wanted.digest);
  assert.equal(await pull(other, silent), silent.digest);
  await assert.rejects(pull(other), { code: 'PLATFORM' });
});

test('an index of dir: with one image for another platform is not a single image', async (t) => {
  const layout = newLayout(t);
  const path = newFolder(t);
  const { digest } = layout.index([
    { ...layout.image([{ tar: TAR }], { architecture: OTHER }), platform: { os: 'linux', architecture: OTHER } },
  ]);
  mkdirSync(path, { recursive: true });
  copyFileSync(layout.fileOf(digest), join(path, 'manifest.json'));
  for (const name of readdirSync(join(layout.path, 'blobs/sha256')))
    copyFileSync(join(layout.path, 'blobs/sha256', name), join(path, `${name}.manifest.json`));
  writeFileSync(join(path, 'version'), 'Directory Transport Version: 1.1\n');
  await assert.rejects(openSource(`dir:${path}`), { code: 'PLATFORM', message: new RegExp(`only for linux/${OTHER}`) });
});

const ranks: [image: string, wanted: string, suits: boolean][] = [
  ['linux/x86_64', 'linux/amd64', true],
  ['linux/aarch64', 'linux/arm64', true],
  ['linux/arm64', 'linux/aarch64', true],
  ['linux/armhf', 'linux/arm/v7', true],
  ['linux/armhf', 'linux/arm/v6', false],
  ['linux/i386', 'linux/amd64', false],
  ['windows/amd64', 'linux/amd64', false],
];
for (const [image, wanted, suits] of ranks) {
  test(`${image} ${suits ? 'suits' : 'does not suit'} ${wanted}`, () => {
    assert.equal(platformRank(parsePlatform(image)!, parsePlatform(wanted)!) !== undefined, suits);
    assert.equal(showPlatform(parsePlatform(image)!), image);
  });
}
