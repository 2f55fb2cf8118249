// OCI layouts made by hand, so that tests can make them wrong.
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { TestContext } from 'node:test';
import { hostPlatform } from '../../../src/spec/platform.js';
import { initRepository } from '../../../src/repository/init.js';
import type { Algorithm } from '../../../src/fsverity/object-id.js';
import { Repository } from '../../../src/repository/repository.js';
import { END, header, padded } from '../layers/make-tar.js';

export const TYPES = {
  manifest: 'application/vnd.oci.image.manifest.v1+json',
  index: 'application/vnd.oci.image.index.v1+json',
  config: 'application/vnd.oci.image.config.v1+json',
  layer: 'application/vnd.oci.image.layer.v1.tar',
  empty: 'application/vnd.oci.empty.v1+json',
} as const;

export interface Described {
  mediaType: string;
  digest: string;
  size: number;
  [more: string]: unknown;
}

export const sha256 = (bytes: Uint8Array): string => `sha256:${createHash('sha256').update(bytes).digest('hex')}`;

/** A layer's tar: `usr` and files below it. */
export function tarOf(files: Readonly<Record<string, Buffer | string>>): Buffer {
  const parts = [header({ name: 'usr/', type: '5', mode: 0o755 })];
  for (const [name, content] of Object.entries(files)) {
    const bytes = Buffer.from(content);
    parts.push(header({ name: `usr/${name}`, size: bytes.length }), padded(bytes));
  }
  return Buffer.concat([...parts, END]);
}

export interface LayerOfImage {
  tar: Buffer;
  /** what lies in the layout; default: the tar */
  blob?: Buffer;
  /** what is said about it; default: what is true */
  descriptor?: Partial<Described>;
}

/** A folder with an OCI layout that grows. */
export class Layout {
  constructor(readonly path: string) {
    mkdirSync(join(path, 'blobs/sha256'), { recursive: true });
    writeFileSync(join(path, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}');
  }

  fileOf(digest: string): string {
    return join(this.path, 'blobs', digest.replace(':', '/'));
  }

  /** Stores bytes; `more` goes into the descriptor and may lie. */
  put(bytes: Buffer | string, mediaType: string, more: Partial<Described> = {}): Described {
    const content = Buffer.from(bytes);
    const digest = sha256(content);
    writeFileSync(this.fileOf(digest), content);
    return { mediaType, digest, size: content.length, ...more };
  }

  putJson(value: object, mediaType: string, more: Partial<Described> = {}): Described {
    return this.put(JSON.stringify(value), mediaType, more);
  }

  image(layers: readonly LayerOfImage[], config: object = {}, manifest: object = {}): Described {
    const { os, architecture } = hostPlatform();
    const descriptors = layers.map(({ tar, blob = tar, descriptor }) => this.put(blob, TYPES.layer, descriptor));
    const rootfs = { type: 'layers', diff_ids: layers.map(({ tar }) => sha256(tar)) };
    return this.manifest(this.putJson({ os, architecture, rootfs, ...config }, TYPES.config), descriptors, manifest);
  }

  artifact(blobs: readonly (Buffer | string)[], manifest: object = {}): Described {
    const layers = blobs.map((bytes) => this.put(bytes, 'text/plain'));
    return this.manifest(this.put('{}', TYPES.empty), layers, { artifactType: 'application/x-test', ...manifest });
  }

  manifest(config: Described, layers: readonly Described[], more: object = {}): Described {
    return this.putJson({ schemaVersion: 2, mediaType: TYPES.manifest, config, layers, ...more }, TYPES.manifest);
  }

  index(manifests: readonly Described[]): Described {
    return this.putJson({ schemaVersion: 2, mediaType: TYPES.index, manifests }, TYPES.index);
  }

  /** Writes `index.json`: images by their names. */
  publish(named: Readonly<Record<string, Described>>): this {
    const manifests = Object.entries(named).map(([name, descriptor]) => ({
      ...descriptor,
      annotations: { 'org.opencontainers.image.ref.name': name },
    }));
    writeFileSync(join(this.path, 'index.json'), JSON.stringify({ schemaVersion: 2, manifests }));
    return this;
  }
}

export function newFolder(t: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), 'sources-'));
  t.after(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

export function newLayout(t: TestContext): Layout {
  return new Layout(join(newFolder(t), 'layout'));
}

export async function newRepository(
  t: TestContext,
  algorithm: Algorithm = 'sha256',
): Promise<{ path: string; repository: Repository }> {
  const path = join(newFolder(t), 'repository');
  initRepository(path, { insecure: true, algorithm });
  const repository = await Repository.open(path, { write: true });
  t.after(() => repository[Symbol.dispose]());
  return { path, repository };
}

/** An archive with these files. */
export function archiveOf(
  files: readonly (readonly [name: string, content: Buffer | string])[],
  links: Readonly<Record<string, string>> = {},
): Buffer {
  const parts = files.flatMap(([name, content]) => [
    header({ name, size: Buffer.byteLength(content) }),
    padded(Buffer.from(content)),
  ]);
  return Buffer.concat([
    ...parts,
    ...Object.entries(links).map(([name, link]) => header({ name, type: '2', link })),
    END,
  ]);
}

export function writeIn(path: string, content: Buffer | string): string {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, content);
  return path;
}
