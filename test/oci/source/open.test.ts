// References as podman and skopeo write them, and what an error advises instead of one.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { runCli } from '../../support/cli/run-cli.js';
import { openSource } from '../../../src/oci/source/open.js';
import { archiveOf, Layout, newFolder, sha256, tarOf, type Described } from '../../support/images/source-layout.js';

const [ONE, TWO, THREE] = [tarOf({ a: 'first' }), tarOf({ b: 'second' }), tarOf({ c: 'third' })];
/** Names as podman gives them, which have colons and slashes. */
const C11 = 'localhost/c11:1';

async function layerOf(reference: string): Promise<string | undefined> {
  await using source = await openSource(reference);
  return source.layers[0]?.diffId;
}

function layoutAt(path: string, images: Readonly<Record<string, Buffer>>): Layout {
  const layout = new Layout(path);
  return layout.publish(
    Object.fromEntries(Object.entries(images).map(([name, tar]) => [name, layout.image([{ tar }])])),
  );
}

function archiveAt(path: string, images: Readonly<Record<string, Buffer>>): void {
  const folder = `${path}.folder`;
  layoutAt(folder, images);
  execFileSync('tar', ['-cf', path, '--force-local', '-C', folder, '.']);
}

function dockerArchiveAt(path: string, images: readonly (readonly [name: string | null, tar: Buffer])[]): void {
  const files = images.flatMap(([, tar], index): [string, Buffer | string][] => [
    [`l${index}`, tar],
    [
      `c${index}`,
      JSON.stringify({ os: 'linux', architecture: 'amd64', rootfs: { type: 'layers', diff_ids: [sha256(tar)] } }),
    ],
  ]);
  const listing = images.map(([name], index) => ({
    Config: `c${index}`,
    RepoTags: name === null ? null : [name],
    Layers: [`l${index}`],
  }));
  writeFileSync(path, archiveOf([...files, ['manifest.json', JSON.stringify(listing)]]));
}

function dirAt(path: string, tar: Buffer): void {
  const layout = layoutAt(`${path}.layout`, { image: tar });
  mkdirSync(path, { recursive: true });
  const index = JSON.parse(readFileSync(join(layout.path, 'index.json'), 'utf8')) as { manifests: Described[] };
  cpSync(join(layout.path, 'blobs/sha256'), path, { recursive: true });
  cpSync(layout.fileOf(index.manifests[0]?.digest ?? ''), join(path, 'manifest.json'));
}

test('the path ends at the first colon', async (t) => {
  const folder = newFolder(t);
  layoutAt(join(folder, 'layout'), { [C11]: ONE, 'localhost:5000/a/b:2': TWO, 'a@sha256:b': THREE });
  archiveAt(join(folder, 's.tar'), { [C11]: ONE, other: TWO });
  dockerArchiveAt(join(folder, 'd.tar'), [
    [C11, ONE],
    ['other:1', TWO],
  ]);
  assert.equal(await layerOf(`oci:${folder}/layout:${C11}`), sha256(ONE));
  assert.equal(await layerOf(`oci:${folder}/layout:localhost:5000/a/b:2`), sha256(TWO));
  assert.equal(await layerOf(`oci:${folder}/layout:a@sha256:b`), sha256(THREE));
  assert.equal(await layerOf(`oci-archive:${folder}/s.tar:${C11}`), sha256(ONE));
  assert.equal(await layerOf(`docker-archive:${folder}/d.tar:${C11}`), sha256(ONE));
  const pulled = runCli(['--repo', join(folder, 'repository'), 'init', '--insecure']);
  assert.equal(pulled.status, 0, pulled.stderr);
  // As podman's users write it, in the folder where the archive is.
  const { status, stderr } = runCli(
    ['--repo', join(folder, 'repository'), 'oci', 'pull', `oci-archive:s.tar:${C11}`, 'c11'],
    { cwd: folder },
  );
  assert.equal(status, 0, stderr);
});

test('a path with colons works where it is there', async (t) => {
  const folder = newFolder(t);
  layoutAt(join(folder, 'a:b'), { [C11]: ONE, other: TWO });
  layoutAt(join(folder, 'only:one'), { it: THREE });
  archiveAt(join(folder, 's:1.tar'), { [C11]: ONE, other: TWO });
  dockerArchiveAt(join(folder, 'd:1.tar'), [
    [C11, ONE],
    [null, TWO],
  ]);
  dirAt(join(folder, 'dir:1'), THREE);
  assert.equal(await layerOf(`oci:${folder}/a:b:${C11}`), sha256(ONE));
  assert.equal(await layerOf(`oci:${folder}/only:one`), sha256(THREE));
  assert.equal(await layerOf(`oci-archive:${folder}/s:1.tar:other`), sha256(TWO));
  assert.equal(await layerOf(`docker-archive:${folder}/d:1.tar:${C11}`), sha256(ONE));
  assert.equal(await layerOf(`docker-archive:${folder}/d:1.tar:@1`), sha256(TWO));
  assert.equal(await layerOf(`dir:${folder}/dir:1`), sha256(THREE));
  // With both there, the first colon counts, as in skopeo.
  layoutAt(join(folder, 'a'), { [`b:${C11}`]: THREE });
  assert.equal(await layerOf(`oci:${folder}/a:b:${C11}`), sha256(THREE));
});

test('a path that is not there is named as skopeo names it', async (t) => {
  const folder = newFolder(t);
  await assert.rejects(layerOf(`oci:${folder}/none:${C11}`), {
    code: 'NOT_FOUND',
    message: `there is no folder ${folder}/none`,
  });
  await assert.rejects(layerOf(`oci-archive:${folder}/none.tar:${C11}`), {
    code: 'NOT_FOUND',
    message: new RegExp(`${folder}/none\\.tar\\b(?!:)`),
  });
  await assert.rejects(layerOf(`docker-archive:${folder}/none.tar:${C11}`), {
    code: 'NOT_FOUND',
    message: new RegExp(`${folder}/none\\.tar\\b(?!:)`),
  });
});

/** The names that an error lists, which is to be followed with each of them. */
async function advised(t: TestContext, reference: string, listed: RegExp): Promise<(string | undefined)[]> {
  const error = await layerOf(reference).then(
    () => assert.fail(`${reference} is one image`),
    (thrown: unknown) => thrown,
  );
  assert.ok(error instanceof Error);
  const names = listed.exec(error.message)?.[1]?.split(', ') ?? [];
  t.diagnostic(error.message);
  return Promise.all(names.map((name) => layerOf(`${reference}:${name}`)));
}

test('what an error advises works', async (t) => {
  const folder = newFolder(t);
  const two = (names: readonly string[] = []): string => {
    const path = join(folder, `layout-${names.join('-').replace(/\W/g, '')}`);
    const layout = new Layout(path);
    const manifests = [ONE, TWO].map((tar, index) => ({
      ...layout.image([{ tar }]),
      ...(names[index] === undefined ? {} : { annotations: { 'org.opencontainers.image.ref.name': names[index] } }),
    }));
    writeFileSync(join(path, 'index.json'), JSON.stringify({ schemaVersion: 2, manifests }));
    return path;
  };
  const both = [sha256(ONE), sha256(TWO)];
  const AMBIGUOUS = /more than one image[^(]*\((.*?)\)/;
  assert.deepEqual(await advised(t, `oci:${two([C11, 'localhost/c11:2'])}`, AMBIGUOUS), both);
  assert.deepEqual(await advised(t, `oci:${two()}`, AMBIGUOUS), both, 'without names');
  assert.deepEqual(await advised(t, `oci:${two([C11])}`, AMBIGUOUS), both, 'one without a name');
  assert.deepEqual(await advised(t, `oci:${two(['same', 'same'])}`, AMBIGUOUS), both, 'with the same name');
  for (const [index, names] of (
    [
      [C11, 'localhost/c11:2'],
      [null, null],
      [C11, null],
      [C11, C11],
    ] as const
  ).entries()) {
    const path = join(folder, `d${index}.tar`);
    dockerArchiveAt(path, [
      [names[0], ONE],
      [names[1], TWO],
    ]);
    assert.deepEqual(await advised(t, `docker-archive:${path}`, AMBIGUOUS), both, names.join());
  }
});
