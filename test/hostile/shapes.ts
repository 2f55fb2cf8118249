// Layers of one shape and any number of entries, as an OCI layout.
import { createHash } from 'node:crypto';
import { closeSync, mkdirSync, openSync, renameSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { extension, header, pax, type Fields } from '../support/layers/make-tar.js';

export type Shape = (count: number) => Generator<Buffer>;

const PIECE = 1 << 20;

export const SHAPES: Readonly<Record<string, Shape>> = {
  'in 50 levels': (count) => levels(50, 'level', count),
  'in 2,000 levels': (count) => levels(2000, 'd', count),
  'in one folder': function* (count) {
    for (let i = 0; i < count; i++) yield* file({ name: `usr/${i}-${'n'.repeat(60)}` });
  },
  'as links to one inode': function* (count) {
    yield* file({ name: 'usr/first' });
    for (let i = 0; i < count; i++) yield* file({ name: `usr/${i}`, type: '1', link: 'usr/first' });
  },
  'with eight differing xattrs each': function* (count) {
    for (let i = 0; i < count; i++) {
      const xattrs = Array.from({ length: 8 }, (_, k) => [`SCHILY.xattr.user.x${k}-${i}`, `value ${i}`]);
      yield pax(Object.fromEntries(xattrs) as Record<string, string>);
      yield* file({ name: `usr/${i}` });
    }
  },
  'as whiteouts': function* (count) {
    for (let i = 0; i < count; i++) yield* file({ name: `usr/.wh.${i}` });
  },
  'as opaque marks': function* (count) {
    for (let i = 0; i < count / 2; i++) {
      yield* file({ name: `usr/${i}` });
      yield* file({ name: 'usr/.wh..wh..opq' });
    }
  },
};

/** Folders in each other, and files spread over them. */
function* levels(depth: number, name: string, count: number): Generator<Buffer> {
  const paths = ['usr'];
  for (let i = 1; i < depth; i++) paths.push(`${paths[i - 1]}/${name}`);
  for (let i = 0; i < count; i++) {
    const path = `${paths[i % depth]}/${i}`;
    if (path.length > 100) yield extension('L', `${path}\0`);
    yield* file({ name: path.slice(0, 100) });
  }
}

function* file(fields: Fields): Generator<Buffer> {
  yield header(fields);
}

/** Writes a layout with an image `image` of these layers. */
export function writeShapes(folder: string, layers: readonly Iterable<Buffer>[]): void {
  const blobs = join(folder, 'blobs/sha256');
  mkdirSync(blobs, { recursive: true });
  const put = (pieces: Iterable<Buffer>, mediaType: string): { mediaType: string; digest: string; size: number } => {
    const [hash, path] = [createHash('sha256'), join(blobs, 'new')];
    const fd = openSync(path, 'w');
    let size = 0;
    for (const piece of gathered(pieces)) {
      hash.update(piece);
      size += writeSync(fd, piece);
    }
    closeSync(fd);
    const hex = hash.digest('hex');
    renameSync(path, join(blobs, hex));
    return { mediaType, digest: `sha256:${hex}`, size };
  };
  const json = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));
  const descriptors = layers.map((layer) => put(layer, 'application/vnd.oci.image.layer.v1.tar'));
  const config = put(
    [
      json({
        architecture: 'amd64',
        os: 'linux',
        config: {},
        rootfs: { type: 'layers', diff_ids: descriptors.map(({ digest }) => digest) },
      }),
    ],
    'application/vnd.oci.image.config.v1+json',
  );
  const manifest = put(
    [json({ schemaVersion: 2, mediaType: 'application/vnd.oci.image.manifest.v1+json', config, layers: descriptors })],
    'application/vnd.oci.image.manifest.v1+json',
  );
  writeFileSync(
    join(folder, 'index.json'),
    json({
      schemaVersion: 2,
      manifests: [{ ...manifest, annotations: { 'org.opencontainers.image.ref.name': 'image' } }],
    }),
  );
  writeFileSync(join(folder, 'oci-layout'), json({ imageLayoutVersion: '1.0.0' }));
}

function* gathered(pieces: Iterable<Buffer>): Generator<Buffer> {
  let [parts, length]: [Buffer[], number] = [[], 0];
  for (const piece of pieces) {
    parts.push(piece);
    length += piece.length;
    if (length < PIECE) continue;
    yield Buffer.concat(parts);
    [parts, length] = [[], 0];
  }
  yield Buffer.concat(parts);
}
