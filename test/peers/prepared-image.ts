import { createHash } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** An image in the form that the peers' servers serve; see README.md. */
export interface PreparedImage {
  manifest: string;
  config: string;
  /** base first */
  layers: readonly { id: string; tar: Buffer }[];
}

/** Writes the folder for a peer's server. */
export function prepareImage(folder: string, { manifest, config, layers }: PreparedImage): void {
  mkdirSync(folder, { recursive: true });
  const layerDigests = layers.map(({ id }) => id).reverse();
  writeFileSync(join(folder, 'image.json'), JSON.stringify({ manifest, config, layerDigests }));
  for (const { id, tar } of layers) prepareLayer(join(folder, id), tar);
}

/** An image of one layer, with the manifest and config that the tar demands. */
export function singleLayerImage(tar: Buffer): PreparedImage {
  const config = JSON.stringify({
    architecture: 'amd64',
    os: 'linux',
    config: {},
    rootfs: { type: 'layers', diff_ids: [sha256(tar)] },
  });
  const descriptor = (mediaType: string, content: Buffer): object => ({
    mediaType,
    digest: sha256(content),
    size: content.length,
  });
  const manifest = JSON.stringify({
    schemaVersion: 2,
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    config: descriptor('application/vnd.oci.image.config.v1+json', Buffer.from(config)),
    layers: [descriptor('application/vnd.oci.image.layer.v1.tar', tar)],
  });
  return { manifest, config, layers: [{ id: 'f'.repeat(64), tar }] };
}

export function sha256(bytes: Buffer): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
}

const BLOCK = 512;

/**
 * Takes a tar apart as containers' server does: headers, with their records, are inline, every file that is not empty
 * is a descriptor, padding and end blocks are left out.
 */
function prepareLayer(folder: string, tar: Buffer): void {
  mkdirSync(join(folder, 'files'), { recursive: true });
  const stream: Buffer[] = [];
  let files = 0;
  let headers = 0;
  let announced: number | undefined;
  for (let at = 0; tar[at] !== 0; ) {
    const type = String.fromCharCode(tar[at + 156] as number);
    const field = Number.parseInt(tar.toString('latin1', at + 124, at + 136), 8) || 0;
    at += BLOCK;
    if (type === 'x' || type === 'g') {
      const records = tar.toString('latin1', at, at + field);
      const size = /\d+ size=(\d+)\n/.exec(records);
      if (type === 'x' && size) announced = Number(size[1]);
      at += padded(field);
      continue;
    }
    stream.push(int64(-(at - headers)), tar.subarray(headers, at));
    const size = type === '0' ? (announced ?? field) : 0;
    announced = undefined;
    if (size > 0) {
      writeFileSync(join(folder, 'files', String(files).padStart(5, '0')), tar.subarray(at, at + size));
      stream.push(int64(files++));
      at += padded(size);
    }
    headers = at;
  }
  writeFileSync(join(folder, 'stream'), Buffer.concat(stream));
}

function padded(size: number): number {
  return Math.ceil(size / BLOCK) * BLOCK;
}

function int64(value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigInt64LE(BigInt(value));
  return bytes;
}
