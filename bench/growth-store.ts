// Containers-storages of any size, made in seconds: one image of one layer with files of a kilobyte, or with one sparse
// file.
import { createHash } from 'node:crypto';
import { closeSync, mkdirSync, openSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { END, header } from '../test/support/layers/make-tar.js';

const FILES_PER_FOLDER = 1000;
const FILE_SIZE = 1024;
const ZEROS = Buffer.alloc(1 << 20);
/** tar-split keeps a CRC of each file; the diff_id says all that it could. */
const CRC = 'AAAAAAAAAAA=';

/** What a layer holds; sizes in bytes. */
export type Content = { files: number } | { sparse: number };

const hex = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');

/** Writes a store with the image `localhost/growth`. @param graphroot a folder that does not exist */
export function makeGrowthStore(graphroot: string, content: Content): void {
  const id = 'a'.repeat(64);
  const diff = join(graphroot, 'overlay', id, 'diff');
  for (const folder of [diff, join(graphroot, 'overlay-layers'), join(graphroot, 'overlay-images')])
    mkdirSync(folder, { recursive: true });
  const recipe = new Recipe();
  if ('sparse' in content) addSparse(recipe, diff, content.sparse);
  else addFiles(recipe, diff, content.files);
  const { diffId, size, text } = recipe.finish();
  writeFileSync(join(graphroot, 'overlay-layers', `${id}.tar-split.gz`), gzipSync(text, { level: 1 }));
  writeFileSync(
    join(graphroot, 'overlay-layers/layers.json'),
    JSON.stringify([{ id, 'diff-digest': diffId, 'diff-size': size }]),
  );
  writeImage(graphroot, id, diffId);
  for (const name of ['overlay-layers/layers.lock', 'overlay-images/images.lock', 'storage.lock'])
    writeFileSync(join(graphroot, name), '');
}

function addFiles(recipe: Recipe, diff: string, count: number): void {
  const content = Buffer.alloc(FILE_SIZE, 'content ');
  for (let index = 0; index < count; index++) {
    const folder = `folder-${Math.floor(index / FILES_PER_FOLDER)}`;
    if (index % FILES_PER_FOLDER === 0) {
      mkdirSync(join(diff, folder));
      recipe.entry(header({ name: `${folder}/`, type: '5', mode: 0o755 }));
    }
    const name = `${folder}/file-${index}`;
    content.writeUInt32LE(index);
    writeFileSync(join(diff, name), content);
    recipe.entry(header({ name, size: FILE_SIZE }));
    recipe.file(name, FILE_SIZE, content);
  }
}

function addSparse(recipe: Recipe, diff: string, size: number): void {
  closeSync(openSync(join(diff, 'sparse'), 'w'));
  truncateSync(join(diff, 'sparse'), size);
  recipe.entry(header({ name: 'sparse', size }));
  recipe.file('sparse', size, ZEROS);
}

/** A tar in the form of tar-split's text, and its digest. */
class Recipe {
  readonly #hash = createHash('sha256');
  readonly #lines: string[] = [];
  #size = 0;

  entry(bytes: Buffer): void {
    this.#take(bytes);
    this.#lines.push(`{"type":2,"payload":"${bytes.toString('base64')}"}\n`);
  }

  /** @param piece is repeated up to `size`, which is in whole blocks of tar */
  file(name: string, size: number, piece: Buffer): void {
    for (let left = size; left > 0; left -= piece.length) this.#take(piece.subarray(0, Math.min(left, piece.length)));
    this.#lines.push(`{"type":1,"name":"${name}","size":${size},"payload":"${CRC}"}\n`);
  }

  finish(): { diffId: string; size: number; text: string } {
    this.entry(END);
    return { diffId: `sha256:${this.#hash.digest('hex')}`, size: this.#size, text: this.#lines.join('') };
  }

  #take(bytes: Buffer): void {
    this.#hash.update(bytes);
    this.#size += bytes.length;
  }
}

function writeImage(graphroot: string, layer: string, diffId: string): void {
  const config = Buffer.from(
    JSON.stringify({ architecture: 'amd64', os: 'linux', config: {}, rootfs: { type: 'layers', diff_ids: [diffId] } }),
  );
  const descriptor = (type: string, digest: string, size: number): object => ({
    mediaType: `application/vnd.oci.image.${type}`,
    digest,
    size,
  });
  const manifest = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: 'application/vnd.oci.image.manifest.v1+json',
      config: descriptor('config.v1+json', `sha256:${hex(config)}`, config.length),
      layers: [descriptor('layer.v1.tar', diffId, 1)],
    }),
  );
  const id = hex(config);
  const data: Record<string, Buffer> = {
    manifest,
    [`manifest-sha256:${hex(manifest)}`]: manifest,
    [`sha256:${id}`]: config,
  };
  mkdirSync(join(graphroot, 'overlay-images', id));
  for (const [key, bytes] of Object.entries(data)) {
    writeFileSync(
      join(graphroot, 'overlay-images', id, key === 'manifest' ? key : `=${Buffer.from(key).toString('base64')}`),
      bytes,
    );
  }
  const of = (value: (bytes: Buffer) => unknown): object =>
    Object.fromEntries(Object.entries(data).map(([key, bytes]) => [key, value(bytes)]));
  const record = {
    id,
    layer,
    names: ['localhost/growth'],
    digest: `sha256:${hex(manifest)}`,
    'big-data-names': Object.keys(data),
    'big-data-sizes': of((bytes) => bytes.length),
    'big-data-digests': of((bytes) => `sha256:${hex(bytes)}`),
  };
  writeFileSync(join(graphroot, 'overlay-images/images.json'), JSON.stringify([record]));
}
