// The tables of docs/security.md about whose repository may be used for what, and a repository to try them with.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { encodeVariant } from '../../src/ostree/gvariant/encode.js';
import { writeLayout } from '../support/images/oci-layout.js';
import { writeArchive } from '../support/images/ostree-archive.js';
import { systemTar } from '../support/layers/system-tar.js';
import { cfsbridge, imageLayout, scene } from './stranger-repository.js';

const known = readFileSync('/proc/filesystems', 'utf8');
export const noMount = ['erofs', 'overlay'].every((name) => known.includes(`\t${name}\n`))
  ? false
  : 'the kernel has no erofs or no overlay';

export interface Made {
  folder: string;
  /** with two images, `image` and `os`, which boots, one of a folder, `web`, and an ostree commit, `commit` */
  repository: string;
  layout: string;
  /** of `image` */
  manifest: string;
  diffId: string;
  /** the layer */
  tar: Buffer;
  /** the EROFS image of `image` */
  image: string;
}

let made: Made | undefined;
const cleanUp: (() => void)[] = [];
let copies = 0;

/** Root's repository, made once. */
export function original(): Made {
  if (made) return made;
  // Not on a tmpfs, from whose files the kernel cannot mount.
  const { folder, repository } = scene(
    { after: (undo: () => void) => cleanUp.push(undo) } as unknown as TestContext,
    tmpdir(),
  );
  const { layout, diffId } = imageLayout(folder);
  const system = join(folder, 'system');
  writeLayout(system, [
    systemTar({ 'usr/lib/modules/6.1/vmlinuz': 'kernel', 'usr/lib/modules/6.1/initramfs.img': 'initramfs' }),
  ]);
  const run = (...words: string[]): string => {
    const { status, stdout, stderr } = cfsbridge(['--repo', repository, ...words]);
    assert.equal(status, 0, stderr);
    return stdout;
  };
  run('init', '--insecure');
  run('oci', 'pull', `oci:${layout}`, 'image');
  run('oci', 'pull', `oci:${system}`, 'os');
  run('create-image', join(folder, 'tree'), 'web');
  writeArchive(join(folder, 'ostree'), { commit: { file: 'content' }, other: { file: 'others' } });
  for (const name of ['objects', 'tmp', 'refs/heads']) mkdirSync(join(folder, 'bare', name), { recursive: true });
  writeFileSync(join(folder, 'bare/config'), '[core]\nmode=bare\n');
  run('ostree', 'pull-local', join(folder, 'ostree'), 'commit');
  assert.equal(cfsbridge(['init', '--insecure', join(folder, 'own')]).status, 0);
  mkdirSync(join(folder, 'mnt'));
  const { images } = JSON.parse(run('oci', 'images', '--json')) as {
    images: { name: string; manifest_digest: string }[];
  };
  const manifest = images.find(({ name }) => name === 'image')?.manifest_digest ?? '';
  // Bootable images are made of folders with these.
  for (const name of ['boot', 'sysroot']) mkdirSync(join(folder, 'tree', name));
  made = {
    folder,
    repository,
    layout,
    manifest,
    diffId,
    tar: readFileSync(join(layout, 'blobs', diffId.replace(':', '/'))),
    image: run('oci', 'compute-id', 'image').trim(),
  };
  return made;
}

export function removeOriginal(): void {
  cleanUp.forEach((undo) => undo());
}

/** A copy of the repository, for one cell. */
export function copyOf({ folder, repository }: Made): string {
  const copy = join(folder, `cell-${copies++}`);
  cpSync(repository, copy, { recursive: true, verbatimSymlinks: true });
  return copy;
}

export function ignoreMount(place: string): void {
  assert.equal(spawnSync('umount', [place]).status, 0);
}

/** A server whose repository of ostree has one ref. */
export async function startSummaries(): Promise<{ url: string; close: () => void }> {
  const server = createServer((request, response) => {
    const refs = [['a', [Buffer.alloc(8), Buffer.alloc(32), []]]];
    if (request.url === '/summary') response.end(encodeVariant('(a(s(taya{sv}))a{sv})', [refs, []]));
    else response.writeHead(404).end();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, close: () => void server.close() };
}

/** A delta of no parts to a commit that is there. */
export function emptyDelta(folder: string): string {
  const id = readFileSync(join(folder, 'ostree/refs/heads/commit'), 'utf8').trim();
  const commit = readFileSync(join(folder, `ostree/objects/${id.slice(0, 2)}/${id.slice(2)}.commit`));
  const [nothing, to] = [Buffer.alloc(0), Buffer.from(id, 'hex')];
  const type = '(a{sv}tayay(a{sv}aya(say)sstayay)aya(uayttay)a(yaytt))';
  const path = join(folder, 'superblock');
  writeFileSync(path, encodeVariant(type, [[], Buffer.alloc(8), nothing, to, commit, nothing, [], []]));
  return path;
}

/** The keys, in order. */
export function rowsOf<K extends string>(rows: Record<K, unknown>): K[] {
  return Object.keys(rows) as K[];
}

/**
 * @param first what the table's first column is called
 * @returns the names in each row, and those that the sentence below the table says use no repository
 */
export function trustTable(first: string): { rows: string[][]; others: string[] } {
  const text = readFileSync(new URL('../../../docs/security.md', import.meta.url), 'utf8');
  const [, lines = '', after = ''] =
    new RegExp(`^\\| ${first} \\|.*\\n\\|[ -|]*\\n((?:\\|.*\\n)+)\\n(.*)`, 'm').exec(text) ?? [];
  const names = (words: string): string[] => words.split(/, | and /).map((name) => name.replaceAll('`', ''));
  const rows = lines
    .trim()
    .split('\n')
    .map((line) => names(line.split(' | ')[0]!.slice(2)));
  return { rows, others: names(/^(.*) use no repository/.exec(after)?.[1] ?? '') };
}
