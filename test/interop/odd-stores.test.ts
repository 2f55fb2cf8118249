// Manifest lists, platforms and configs as podman's own tools put them into a store and read them there.
import assert from 'node:assert/strict';
import { copyFileSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { parseManifest } from '../../src/spec/manifest.js';
import { openSource } from '../../src/oci/source/open.js';
import { hostPlatform } from '../../src/spec/platform.js';
import { runCli } from '../support/cli/run-cli.js';
import { Layout, sha256, tarOf, type Described } from '../support/images/source-layout.js';
import { inPeers, runInPeers, SharedFolder, succeed, whyNoPeers } from './peers.js';
import { makeRepository } from './repositories.js';

const TAR = tarOf({ file: 'x'.repeat(100) });
const HERE = hostPlatform().architecture;
const OTHER = HERE === 's390x' ? 'arm64' : 's390x';

describe('what podman has in a store', { skip: whyNoPeers() }, () => {
  let folder: SharedFolder;
  let count = 0;
  const inSid = (...command: string[]): string => succeed(inPeers, command).trim();
  const podman = (...args: string[]): string =>
    inSid(
      'podman',
      '--root',
      `${folder.inside}/store`,
      '--runroot',
      `${folder.inside}/run`,
      '--storage-driver',
      'overlay',
      ...args,
    );
  const reference = (name: string): string =>
    `containers-storage:[overlay@${join(folder.path, 'store')}]localhost/${name}:latest`;

  /** Copies an image from a folder into the store with skopeo. */
  function store(name: string, make: (layout: Layout) => Described): void {
    const path = join(folder.path, `layout-${count}`);
    const layout = new Layout(path);
    layout.publish({ image: make(layout) });
    const target = `containers-storage:[overlay@${folder.inside}/store+${folder.inside}/run]localhost/${name}:latest`;
    const { status, stderr } = runInPeers(
      'skopeo',
      '--insecure-policy',
      'copy',
      '-q',
      `oci:${folder.inside}/layout-${count++}:image`,
      target,
    );
    assert.equal(status, 0, `${name}: ${stderr}`);
  }

  function pull(name: string, ...options: string[]): { stderr: string; dump: string } {
    const repository = makeRepository(join(folder.path, `repository-${count++}`));
    const { status, stderr } = runCli(['--repo', repository, 'oci', 'pull', ...options, reference(name), 'tag']);
    assert.equal(status, 0, stderr);
    return { stderr, dump: runCli(['--repo', repository, 'oci', 'dump', 'tag']).stdout };
  }

  const manifestOf = async (name: string, architecture?: string): Promise<string> => {
    await using source = await openSource(reference(name), {
      platform: architecture === undefined ? undefined : { os: 'linux', architecture },
    });
    return sha256(source.manifest);
  };

  before(() => {
    folder = new SharedFolder();
    store('here', (layout) => layout.image([{ tar: TAR }], { architecture: HERE }));
    store('other', (layout) => layout.image([{ tar: tarOf({ file: 'y'.repeat(100) }) }], { architecture: OTHER }));
  });
  after(() => folder[Symbol.dispose]());

  test('a manifest list: the images that podman has listed, by platform', async () => {
    podman(
      'manifest',
      'create',
      'localhost/list:latest',
      `containers-storage:localhost/other:latest`,
      `containers-storage:localhost/here:latest`,
    );
    const { manifests } = JSON.parse(podman('manifest', 'inspect', 'localhost/list:latest')) as {
      manifests: { digest: string; platform: { architecture: string } }[];
    };
    const listed = new Map(manifests.map(({ digest, platform }) => [platform.architecture, digest]));
    assert.deepEqual([...listed.keys()].sort(), [HERE, OTHER].sort());
    assert.equal(await manifestOf('list'), listed.get(HERE));
    assert.equal(await manifestOf('list', OTHER), listed.get(OTHER));
    pull('list');
    pull('list', '--platform', `linux/${OTHER}`);
  });

  test('an image built for a list', async () => {
    const target = `${folder.inside}/context`;
    inSid(
      'sh',
      '-c',
      `mkdir -p ${target} && printf 'FROM scratch\\nCOPY Containerfile /usr/file\\n' >${target}/Containerfile`,
    );
    podman(
      'build',
      '-q',
      '--isolation',
      'chroot',
      '--manifest',
      'localhost/built:latest',
      '--platform',
      `linux/${OTHER}`,
      target,
    );
    podman(
      'build',
      '-q',
      '--isolation',
      'chroot',
      '--manifest',
      'localhost/built:latest',
      '--platform',
      `linux/${HERE}`,
      target,
    );
    const { manifests } = JSON.parse(podman('manifest', 'inspect', 'localhost/built:latest')) as {
      manifests: { digest: string; platform: { architecture: string } }[];
    };
    assert.equal(await manifestOf('built'), manifests.find(({ platform }) => platform.architecture === HERE)?.digest);
    assert.match(pull('built').dump, /^\/usr\/file /m);
  });

  const configs: [what: string, config: object][] = [
    ['no platform', { os: undefined, architecture: undefined }],
    ['empty words', { os: '', architecture: '' }],
    ["the kernel's word", { os: 'linux', architecture: 'x86_64' }],
    ['another platform', { os: 'linux', architecture: OTHER }],
  ];
  for (const [index, [what, config]] of configs.entries()) {
    test(`a config with ${what} is the image that podman shows`, async () => {
      store(`platform-${index}`, (layout) => layout.image([{ tar: TAR }], config));
      const shown = JSON.parse(podman('image', 'inspect', `localhost/platform-${index}:latest`)) as {
        Digest: string;
        Architecture: string;
      }[];
      assert.equal(await manifestOf(`platform-${index}`), shown[0]?.Digest);
      const { stderr } = pull(`platform-${index}`);
      const isOther = what === 'another platform' || (what === "the kernel's word" && HERE !== 'amd64');
      assert.equal(stderr.split('\n').filter((line) => line.includes(' is for ')).length, isOther ? 1 : 0, stderr);
    });
  }

  test('a config of type application/octet-stream is an image, as for podman', async () => {
    const path = join(folder.path, 'untyped');
    const layout = new Layout(join(folder.path, 'untyped-blobs'));
    const config = layout.putJson(
      { os: 'linux', architecture: HERE, author: 'docker 1.9', rootfs: { type: 'layers', diff_ids: [sha256(TAR)] } },
      'application/octet-stream',
    );
    const layer = layout.put(TAR, 'application/vnd.docker.image.rootfs.diff.tar.gzip');
    const type = 'application/vnd.docker.distribution.manifest.v2+json';
    const { digest } = layout.putJson({ schemaVersion: 2, mediaType: type, config, layers: [layer] }, type);
    mkdirSync(path);
    for (const blob of [config, layer])
      copyFileSync(layout.fileOf(blob.digest), join(path, blob.digest.slice('sha256:'.length)));
    copyFileSync(layout.fileOf(digest), join(path, 'manifest.json'));
    const target = `containers-storage:[overlay@${folder.inside}/store+${folder.inside}/run]localhost/untyped:latest`;
    const { status, stderr } = runInPeers(
      'skopeo',
      '--insecure-policy',
      'copy',
      '-q',
      `dir:${folder.inside}/untyped`,
      target,
    );
    assert.equal(status, 0, stderr);
    await using source = await openSource(reference('untyped'));
    assert.equal(parseManifest(source.manifest).config.mediaType, 'application/octet-stream');
    const listed = podman('image', 'mount', 'localhost/untyped:latest');
    assert.equal(inSid('find', `${listed}/usr`, '-type', 'f'), `${listed}/usr/file`);
    podman('image', 'unmount', '-a');
    assert.match(pull('untyped').dump, /^\/usr\/file 100 /m);
  });
});
