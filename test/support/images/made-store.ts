// A containers-storage made by hand, for what no real program would store: wrong digests, odd headers, any size.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  cpSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { END, header, padded, pax, type Fields } from '../layers/make-tar.js';
import { walk } from '../walk.js';

export interface MadeEntry extends Fields {
  name: string;
  content?: Buffer;
  /** where the store has the content, when that is not under its name */
  at?: string;
  /** PAX records before the header */
  records?: Record<string, string>;
  /** what the header, and with it tar-split, says about the size of what has no content */
  announced?: number;
}

export interface MadeLayer {
  entries: readonly MadeEntry[];
  /** what store and config say instead of the tar's real digest */
  claimed?: string;
}

export interface MadeImage {
  name: string;
  layers: readonly MadeLayer[];
  docker?: boolean;
  /** members of the config other than the usual ones */
  config?: object;
  /** media type of the config */
  configType?: string;
}

interface Tar {
  diffId: string;
  size: number;
  recipe: Buffer;
}

const hex = (bytes: string | Buffer): string => createHash('sha256').update(bytes).digest('hex');

/** Writes the store; layers that several images begin with are stored once. */
export function makeStore(graphroot: string, images: readonly MadeImage[]): void {
  for (const folder of ['overlay', 'overlay-layers', 'overlay-images'])
    mkdirSync(join(graphroot, folder), { recursive: true });
  const layers = new Map<string, object>();
  const records = images.map((image) => {
    let parent: string | undefined;
    const diffIds = image.layers.map((layer) => {
      const tar = makeTar(layer.entries);
      const diffId = layer.claimed ?? tar.diffId;
      const id = hex(`${parent ?? ''} ${diffId} ${tar.diffId}`);
      if (!layers.has(id)) writeLayer(graphroot, id, layer.entries, tar);
      layers.set(id, { id, parent, 'diff-digest': diffId, 'diff-size': tar.size });
      parent = id;
      return diffId;
    });
    return writeImage(graphroot, image, parent, diffIds);
  });
  writeFileSync(join(graphroot, 'overlay-layers/layers.json'), JSON.stringify([...layers.values()]));
  writeFileSync(join(graphroot, 'overlay-images/images.json'), JSON.stringify(records));
  for (const name of ['overlay-layers/layers.lock', 'overlay-images/images.lock', 'storage.lock'])
    writeFileSync(join(graphroot, name), '');
}

/**
 * Adds a manifest list, as `podman build --manifest` leaves it: made empty, and filled afterwards.
 * @param instances names of images of the store, and what the list says about their platforms
 */
export function addList(
  graphroot: string,
  name: string,
  instances: readonly { image: string; platform?: unknown }[],
): void {
  const path = join(graphroot, 'overlay-images/images.json');
  const records = JSON.parse(readFileSync(path, 'utf8')) as { id: string; names: string[]; digest: string }[];
  const list = (manifests: object[]): Buffer =>
    Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: 'application/vnd.oci.image.index.v1+json', manifests }));
  const entries = instances.map(({ image, ...said }) => {
    const digest = records.find(({ names }) => names.includes(image))?.digest ?? `sha256:${hex(image)}`;
    return { mediaType: 'application/vnd.oci.image.manifest.v1+json', digest, size: 1, ...said };
  });
  const id = hex(name);
  const data = { manifest: list(entries), 'instances.json': Buffer.from('{}') };
  const folder = join(graphroot, 'overlay-images', id);
  mkdirSync(folder, { recursive: true });
  for (const [key, bytes] of Object.entries(data)) writeFileSync(join(folder, key), bytes);
  const digests = Object.fromEntries(Object.entries(data).map(([key, bytes]) => [key, `sha256:${hex(bytes)}`]));
  writeFileSync(
    path,
    JSON.stringify([
      ...records,
      {
        id,
        names: [name],
        digest: `sha256:${hex(list([]))}`,
        'big-data-names': Object.keys(data),
        'big-data-digests': digests,
      },
    ]),
  );
}

/**
 * Makes it a store of the vfs driver: each layer's folder has the files of those below it, too. Only for layers without
 * marks.
 */
export function toVfs(graphroot: string): void {
  const folder = join(graphroot, 'vfs/dir');
  mkdirSync(folder, { recursive: true });
  const records = JSON.parse(readFileSync(join(graphroot, 'overlay-layers/layers.json'), 'utf8')) as {
    id: string;
    parent?: string;
  }[];
  for (const { id, parent } of records) {
    // tar unpacks through symlinks of the layers below, as the driver does. It is not confined to the folder, as the
    // driver is.
    const absolute = [...walk(join(graphroot, 'overlay', id))].filter(
      (entry) => entry.isSymbolicLink() && readlinkSync(entry.path).startsWith('/'),
    );
    assert.equal(absolute.length, 0, 'an absolute symlink would have files unpacked outside of the store');
    if (parent !== undefined)
      cpSync(join(folder, parent), join(folder, id), { recursive: true, verbatimSymlinks: true });
    else mkdirSync(join(folder, id));
    execFileSync('sh', [
      '-ec',
      'tar -C "$1" -c . | tar -C "$2" -x --keep-directory-symlink',
      'sh',
      join(graphroot, 'overlay', id, 'diff'),
      join(folder, id),
    ]);
  }
  for (const part of ['layers', 'images'])
    renameSync(join(graphroot, `overlay-${part}`), join(graphroot, `vfs-${part}`));
  rmSync(join(graphroot, 'overlay'), { recursive: true });
}

/** The digest of the tar of these entries. */
export function diffIdOf(entries: readonly MadeEntry[]): string {
  return makeTar(entries).diffId;
}

/** Where the store keeps the files of a layer that is the lowest of its image. */
export function baseLayerFolder(graphroot: string, { entries, claimed }: MadeLayer): string {
  const real = diffIdOf(entries);
  return join(graphroot, 'overlay', hex(` ${claimed ?? real} ${real}`), 'diff');
}

function makeTar(entries: readonly MadeEntry[]): Tar {
  const hash = createHash('sha256');
  const lines: object[] = [];
  let size = 0;
  let segment: Buffer[] = [];
  const add = (bytes: Buffer): void => {
    hash.update(bytes);
    size += bytes.length;
  };
  const closeSegment = (): void => {
    if (segment.length > 0)
      lines.push({ type: 2, payload: Buffer.concat(segment).toString('base64'), position: lines.length });
    segment = [];
  };
  for (const { content, records, announced = 0, at: _, ...fields } of entries) {
    const head = [...(records ? [pax(records)] : []), header({ ...fields, size: content?.length ?? announced })];
    segment.push(...head);
    head.forEach(add);
    closeSegment();
    const length = content?.length ?? announced;
    lines.push({
      type: 1,
      name: records?.['path'] ?? fields.name,
      ...(length > 0 ? { size: length } : {}),
      payload: length > 0 ? crc64(content ?? Buffer.alloc(0)) : null,
      position: lines.length,
    });
    if (!content) continue;
    add(content);
    const padding = padded(content).subarray(content.length);
    add(padding);
    if (padding.length > 0) segment.push(padding);
  }
  segment.push(END);
  add(END);
  closeSegment();
  return {
    diffId: `sha256:${hash.digest('hex')}`,
    size,
    recipe: gzipSync(lines.map((line) => `${JSON.stringify(line)}\n`).join(''), { level: 1 }),
  };
}

function writeLayer(graphroot: string, id: string, entries: readonly MadeEntry[], { recipe }: Tar): void {
  const diff = join(graphroot, 'overlay', id, 'diff');
  mkdirSync(diff, { recursive: true });
  // cfsctl finds a layer by its short name, whose letters are those of base 32.
  const short = id
    .slice(0, 26)
    .toUpperCase()
    .replace(/[0189]/g, (digit) => 'GHIJ'['0189'.indexOf(digit)]!);
  writeFileSync(join(graphroot, 'overlay', id, 'link'), short);
  mkdirSync(join(graphroot, 'overlay/l'), { recursive: true });
  symlinkSync(`../${id}/diff`, join(graphroot, 'overlay/l', short));
  writeFileSync(join(graphroot, `overlay-layers/${id}.tar-split.gz`), recipe);
  for (const { name, type, content, link, at = name } of entries) {
    const path = join(diff, at.replace(/\/+$/, ''));
    const target = join(diff, link ?? '');
    if (content === undefined && isSymlink(path)) unlinkSync(path);
    mkdirSync(type === '5' ? path : dirname(path), { recursive: true });
    if (content) writeFileSync(path, content);
    if (type === '2') symlinkSync(link ?? '', path);
    if (type === '1' && isSymlink(target)) linkSync(target, path);
  }
}

function isSymlink(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink() === true;
}

function writeImage(
  graphroot: string,
  { name, docker, config: more, configType }: MadeImage,
  layer: string | undefined,
  diffIds: readonly string[],
): object {
  const config = Buffer.from(
    JSON.stringify({
      architecture: 'amd64',
      os: 'linux',
      config: { Labels: { name } },
      rootfs: { type: 'layers', diff_ids: diffIds },
      ...more,
    }),
  );
  const type = (of: string, dockerType: string): string =>
    docker === true ? `application/vnd.docker.${dockerType}` : `application/vnd.oci.image.${of}`;
  const manifest = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: type('manifest.v1+json', 'distribution.manifest.v2+json'),
      config: {
        mediaType: configType ?? type('config.v1+json', 'container.image.v1+json'),
        digest: `sha256:${hex(config)}`,
        size: config.length,
      },
      layers: diffIds.map((digest) => ({ mediaType: type('layer.v1.tar', 'image.rootfs.diff.tar'), digest, size: 1 })),
    }),
  );
  const id = hex(config);
  const data: Record<string, Buffer> = {
    manifest,
    [`manifest-sha256:${hex(manifest)}`]: manifest,
    [`sha256:${id}`]: config,
  };
  const folder = join(graphroot, 'overlay-images', id);
  mkdirSync(folder, { recursive: true });
  for (const [key, bytes] of Object.entries(data))
    writeFileSync(join(folder, key === 'manifest' ? key : `=${Buffer.from(key).toString('base64')}`), bytes);
  return {
    id,
    layer,
    names: [name],
    digest: `sha256:${hex(manifest)}`,
    'big-data-names': Object.keys(data),
    'big-data-sizes': Object.fromEntries(Object.entries(data).map(([key, bytes]) => [key, bytes.length])),
    'big-data-digests': Object.fromEntries(Object.entries(data).map(([key, bytes]) => [key, `sha256:${hex(bytes)}`])),
  };
}

/** CRC-64/GO-ISO in two halves, big endian in base64, as tar-split writes it. */
const TABLE = Array.from({ length: 256 }, (_, byte) => {
  let [high, low] = [0, byte];
  for (let bit = 0; bit < 8; bit++) {
    const odd = low & 1;
    low = ((low >>> 1) | (high << 31)) >>> 0;
    high = high >>> 1;
    if (odd) high = (high ^ 0xd8000000) >>> 0;
  }
  return [high, low] as const;
});

function crc64(bytes: Buffer): string {
  let [high, low] = [0xffffffff, 0xffffffff];
  for (const byte of bytes) {
    const [tableHigh, tableLow] = TABLE[(low ^ byte) & 0xff]!;
    low = (((low >>> 8) | (high << 24)) ^ tableLow) >>> 0;
    high = ((high >>> 8) ^ tableHigh) >>> 0;
  }
  const out = Buffer.alloc(8);
  out.writeUInt32BE(~high >>> 0, 0);
  out.writeUInt32BE(~low >>> 0, 4);
  return out.toString('base64');
}
