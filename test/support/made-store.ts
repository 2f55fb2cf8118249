// A containers-storage made by hand, for what no real program would store: wrong digests, odd headers, any size.
import { createHash } from 'node:crypto';
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { END, header, padded, pax, type Fields } from '../layer/make-tar.js';

export interface MadeEntry extends Fields {
  name: string;
  content?: Buffer;
  /** PAX records before the header */
  records?: Record<string, string>;
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
}

interface Tar {
  diffId: string;
  size: number;
  recipe: Buffer;
}

const hex = (bytes: string | Buffer): string => createHash('sha256').update(bytes).digest('hex');

/** Writes the store; layers that several images begin with are stored once. */
export function makeStore(graphroot: string, images: readonly MadeImage[]): void {
  for (const folder of ['overlay', 'overlay-layers', 'overlay-images']) mkdirSync(join(graphroot, folder), { recursive: true });
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
  for (const name of ['overlay-layers/layers.lock', 'overlay-images/images.lock', 'storage.lock']) writeFileSync(join(graphroot, name), '');
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
    if (segment.length > 0) lines.push({ type: 2, payload: Buffer.concat(segment).toString('base64'), position: lines.length });
    segment = [];
  };
  for (const { content, records, ...fields } of entries) {
    const head = [...(records ? [pax(records)] : []), header({ ...fields, size: content?.length ?? 0 })];
    segment.push(...head);
    head.forEach(add);
    closeSegment();
    const length = content?.length ?? 0;
    lines.push({ type: 1, name: fields.name, ...(length > 0 ? { size: length } : {}), payload: length > 0 ? crc64(content!) : null, position: lines.length });
    if (!content) continue;
    add(content);
    const padding = padded(content).subarray(content.length);
    add(padding);
    if (padding.length > 0) segment.push(padding);
  }
  segment.push(END);
  add(END);
  closeSegment();
  return { diffId: `sha256:${hash.digest('hex')}`, size, recipe: gzipSync(lines.map((line) => `${JSON.stringify(line)}\n`).join(''), { level: 1 }) };
}

function writeLayer(graphroot: string, id: string, entries: readonly MadeEntry[], { recipe }: Tar): void {
  const diff = join(graphroot, 'overlay', id, 'diff');
  mkdirSync(diff, { recursive: true });
  // cfsctl finds a layer by its short name.
  const short = id.slice(0, 26).toUpperCase();
  writeFileSync(join(graphroot, 'overlay', id, 'link'), short);
  mkdirSync(join(graphroot, 'overlay/l'), { recursive: true });
  symlinkSync(`../${id}/diff`, join(graphroot, 'overlay/l', short));
  writeFileSync(join(graphroot, `overlay-layers/${id}.tar-split.gz`), recipe);
  for (const { name, type, content } of entries) {
    const path = join(diff, name);
    mkdirSync(type === '5' ? path : dirname(path), { recursive: true });
    if (content) writeFileSync(path, content);
  }
}

function writeImage(graphroot: string, { name, docker }: MadeImage, layer: string | undefined, diffIds: readonly string[]): object {
  const config = Buffer.from(JSON.stringify({ architecture: 'amd64', os: 'linux', config: { Labels: { name } }, rootfs: { type: 'layers', diff_ids: diffIds } }));
  const type = (of: string, dockerType: string): string => (docker === true ? `application/vnd.docker.${dockerType}` : `application/vnd.oci.image.${of}`);
  const manifest = Buffer.from(JSON.stringify({
    schemaVersion: 2,
    mediaType: type('manifest.v1+json', 'distribution.manifest.v2+json'),
    config: { mediaType: type('config.v1+json', 'container.image.v1+json'), digest: `sha256:${hex(config)}`, size: config.length },
    layers: diffIds.map((digest) => ({ mediaType: type('layer.v1.tar', 'image.rootfs.diff.tar'), digest, size: 1 })),
  }));
  const id = hex(config);
  const data: Record<string, Buffer> = { manifest, [`manifest-sha256:${hex(manifest)}`]: manifest, [`sha256:${id}`]: config };
  const folder = join(graphroot, 'overlay-images', id);
  mkdirSync(folder, { recursive: true });
  for (const [key, bytes] of Object.entries(data)) writeFileSync(join(folder, key === 'manifest' ? key : `=${Buffer.from(key).toString('base64')}`), bytes);
  return {
    id, layer, names: [name], digest: `sha256:${hex(manifest)}`, 'big-data-names': Object.keys(data),
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
