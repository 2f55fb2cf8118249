// What must be true of a repository at every moment, whoever was killed: looked at file by file, without the
// bookkeeping of the code under test.
import { createHash } from 'node:crypto';
import { lstatSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { bytesOf } from '../../../src/bytes.js';
import { openPath } from '../../../src/fd/fd.js';
import { verityDigestOfFd } from '../../../src/fsverity/digest.js';
import { RepositoryLayer } from '../../../src/oci/image/repository-layer.js';
import { Repository } from '../../../src/repository/repository.js';
import { hashTar } from '../layers/hash-tar.js';

const TOP = new Set(['meta.json', 'objects', 'streams', 'images', 'verified']);

/** Everything that is wrong with a repository; an empty list when nothing is. */
export async function problemsOf(path: string): Promise<string[]> {
  using repository = await Repository.open(path);
  const problems = readdirSync(path)
    .filter((name) => !TOP.has(name))
    .map((name) => `left over: ${name}`);
  problems.push(...(await wrongObjects(path, repository)));
  for (const area of ['streams', 'images', 'verified']) problems.push(...brokenLinks(path, area));
  if (problems.length > 0) return problems;
  for (const name of repository.listStreams()) problems.push(...(await wrongStream(repository, name)));
  return problems;
}

/** Names of all streams, images and refs, sorted. */
export function namesIn(path: string): string[] {
  return ['streams', 'images'].flatMap((area) => links(path, area)).sort();
}

async function wrongObjects(path: string, { algorithm }: Repository): Promise<string[]> {
  const problems: string[] = [];
  const objects = join(path, 'objects');
  for (const folder of list(objects)) {
    if (!/^[0-9a-f]{2}$/.test(folder)) {
      problems.push(`left over: objects/${folder}`);
      continue;
    }
    for (const rest of readdirSync(join(objects, folder))) {
      using fd = openPath(bytesOf(join(objects, folder, rest)));
      const actual = (await verityDigestOfFd(fd, algorithm)).toString('hex');
      if (actual !== folder + rest) problems.push(`objects/${folder}/${rest} has digest ${actual}`);
    }
  }
  return problems;
}

function brokenLinks(path: string, area: string): string[] {
  return links(path, area)
    .filter((name) => {
      const target = resolve(dirname(join(path, name)), readlinkSync(join(path, name)));
      return !list(dirname(target)).includes(basename(target));
    })
    .map((name) => `${name} points at nothing`);
}

function links(path: string, folder: string): string[] {
  return list(join(path, folder)).flatMap((name) => {
    const inner = `${folder}/${name}`;
    return lstatSync(join(path, inner)).isDirectory() ? links(path, inner) : [inner];
  });
}

/** A stream must lead to all it refers to, and be what its name says. */
async function wrongStream(repository: Repository, name: string): Promise<string[]> {
  const id = repository.streamObject(name);
  if (id === undefined) return [`streams/${name} vanished`];
  const [, kind, digest] = /^oci-(layer|config|manifest)-(sha256:[0-9a-f]{64})$/.exec(name) ?? [];
  if (kind === undefined) return name.startsWith('replaced-') ? [] : [`streams/${name} is none of ours`];
  using reader = repository.openStream(id);
  const missing = [
    ...reader.streamRefs,
    ...Array.from({ length: reader.objects.length }, (_, index) => reader.objects.at(index)),
  ].filter((ref) => !repository.objects.has(ref));
  const problems = missing.map((ref) => `streams/${name} refers to object ${ref}, which is missing`);
  if (problems.length > 0) return problems;
  const actual = kind === 'layer' ? await layerDigest(repository, id) : await contentDigest(repository, id);
  return actual === digest ? [] : [`streams/${name} has the content ${actual}`];
}

async function layerDigest(repository: Repository, id: string): Promise<string> {
  await using layer = new RepositoryLayer(repository, id);
  return await hashTar(layer);
}

async function contentDigest(repository: Repository, id: string): Promise<string> {
  using reader = repository.openStream(id);
  const hash = createHash('sha256');
  for await (const pieces of reader.batches()) {
    for (const piece of pieces) {
      if (piece.kind === 'inline') hash.update(piece.bytes);
      else {
        using object = repository.objects.open(piece.id);
        hash.update(readFileSync(object.number));
      }
    }
  }
  return `sha256:${hash.digest('hex')}`;
}

function list(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}
