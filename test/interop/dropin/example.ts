import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { hostPlatform } from '../../../src/spec/platform.js';
import type { Algorithm } from '../../../src/fsverity/object-id.js';
import { Layout, sha256, tarOf } from '../../support/images/source-layout.js';
import { cfsctl, run, succeed } from '../peers.js';

const long = (text: string): Buffer => Buffer.alloc(3000, `${text} `);

/** The second layer of an image takes a file of the first away. */
const layers = {
  base: tarOf({ 'bin-tool': long('a tool'), short: 'inline', 'lib-file': long('a library') }),
  first: tarOf({ app: long('the first application') }),
  second: tarOf({ app: long('the second application'), '.wh.short': '' }),
} as const;

/** Digests of what is in an example repository. */
export interface Example {
  path: string;
  algorithm: Algorithm;
  layout: Layout;
  layers: typeof layers;
  /** another repository of the same algorithm, with the image `example/copy:1`, to copy from */
  other: string;
  /** a folder to make images of */
  rootfs: string;
  /** by name: manifests of the tags */
  manifests: Record<'first' | 'second' | 'artifact', string>;
  configs: Record<'first' | 'second', string>;
  diffIds: string[];
  /** the EROFS image called `web` */
  image: string;
}

/**
 * Has cfsctl make a repository with some of everything: two container images that share a layer, one of them with two
 * tags, an artifact, two EROFS images with names, and a layer with a name. Objects that nothing leads to are there too.
 */
export function makeExample(folder: string, algorithm: Algorithm): Example {
  const layout = makeLayout(join(folder, 'layout'));
  const rootfs = makeRootfs(join(folder, 'rootfs'));
  const path = join(folder, `example-${algorithm}`);
  const ask = (...args: string[]): string => succeed(cfsctl, ['--repo', path, ...args]);
  ask('init', '--insecure', '--algorithm', `fsverity-${algorithm}-12`);
  const manifests = Object.fromEntries(
    (['first', 'second', 'artifact'] as const).map((name) => [
      name,
      /^manifest +(\S+)$/m.exec(ask('oci', 'pull', `oci:${layout.path}:${name}`, `example/${name}:1`))?.[1] ?? '',
    ]),
  ) as Example['manifests'];
  ask('oci', 'tag', manifests.first, 'latest');
  const image = ask('create-image', rootfs, 'web')
    .trim()
    .replace(/^sha\d+:/, '');
  ask('create-image', '--no-propagate-usr-to-root', rootfs, 'deep/er');
  const { status, stderr } = importLayer(path, layers.first, 'named/layer');
  assert.equal(status, 0, stderr);
  return {
    path,
    algorithm,
    layout,
    layers,
    rootfs,
    manifests,
    image,
    other: makeOther(join(folder, `other-${algorithm}`), algorithm, layout),
    configs: { first: configOf(layout, manifests.first), second: configOf(layout, manifests.second) },
    diffIds: Object.values(layers).map(sha256),
  };
}

function importLayer(path: string, tar: Buffer, name: string): { status: number | null; stderr: string } {
  const file = `${path}.tar`;
  writeFileSync(file, tar);
  return run('sh', [
    '-c',
    '"$1" --repo "$2" oci import-layer "$3" "$4" <"$5"',
    'sh',
    cfsctl,
    path,
    sha256(tar),
    name,
    file,
  ]);
}

function makeOther(path: string, algorithm: Algorithm, layout: Layout): string {
  succeed(cfsctl, ['--repo', path, 'init', '--insecure', '--algorithm', `fsverity-${algorithm}-12`]);
  succeed(cfsctl, ['--repo', path, 'oci', 'pull', `oci:${layout.path}:second`, 'example/copy:1']);
  return path;
}

function configOf(layout: Layout, manifest: string): string {
  return (JSON.parse(readFileSync(layout.fileOf(manifest), 'utf8')) as { config: { digest: string } }).config.digest;
}

export function makeLayout(path: string): Layout {
  const layout = new Layout(path);
  const first = layout.image([{ tar: layers.base }, { tar: layers.first }], {
    created: '2025-01-02T03:04:05Z',
    config: { Labels: { who: 'first' } },
  });
  const second = layout.image([{ tar: layers.base }, { tar: layers.second }], { config: { Env: ['A=b'] } });
  // cfsctl takes an artifact only when its descriptor has a platform.
  const artifact = { ...layout.artifact(['some text', long('more text')]), platform: hostPlatform() };
  return layout.publish({ first, second, artifact });
}

export function makeRootfs(path: string): string {
  mkdirSync(join(path, 'usr/bin'), { recursive: true });
  mkdirSync(join(path, 'run/gone'), { recursive: true });
  writeFileSync(join(path, 'usr/bin/tool'), long('a tool of the folder'));
  chmodSync(join(path, 'usr/bin/tool'), 0o4755);
  writeFileSync(join(path, 'usr/bin/other'), long('another tool of the folder'));
  writeFileSync(join(path, 'usr/short'), 'inline');
  writeFileSync(join(path, 'usr/empty'), '');
  symlinkSync('bin/tool', join(path, 'usr/link'));
  execFileSync('ln', [join(path, 'usr/short'), join(path, 'usr/hard')]);
  execFileSync('touch', [
    '-hd',
    '2020-01-02T03:04:05.678Z',
    ...['', 'usr', 'usr/bin', 'usr/bin/tool', 'usr/bin/other', 'usr/short', 'usr/empty', 'usr/link', 'run'].map(
      (name) => join(path, name),
    ),
  ]);
  return path;
}
