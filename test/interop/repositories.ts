import assert from 'node:assert/strict';
import { existsSync, readdirSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { openStorageImage } from '../../src/oci/source/storage.js';
import { pullImage } from '../../src/oci/pull/pull.js';
import type { PullOptions, PullResult } from '../../src/oci/pull/types.js';
import { initRepository } from '../../src/repository/init.js';
import type { Algorithm } from '../../src/fsverity/object-id.js';
import { Repository } from '../../src/repository/repository.js';
import { cfsbridge } from '../support/cli/run-cli.js';
import { cfsctl, graphroot, run, succeed, type Answer } from './peers.js';

/** A new repository without fs-verity, made by us. */
export function makeRepository(path: string, algorithm: Algorithm = 'sha512'): string {
  initRepository(path, { algorithm, insecure: true });
  return path;
}

/** Pulls in this process. */
export async function pullHere(
  path: string,
  reference: string,
  options: PullOptions = {},
  store: string = graphroot,
): Promise<PullResult> {
  using repository = await Repository.open(path, { write: true });
  await using source = await openStorageImage(reference, { graphroot: store });
  return await pullImage(repository, source, options);
}

/** Asks cfsctl about a repository. */
export function askCfsctl(repository: string, ...args: string[]): Answer {
  return run(cfsctl, ['--repo', repository, ...args]);
}

/** Pulls with cfsctl, straight from the store. */
export function pullWithCfsctl(repository: string, reference: string, tag: string, store: string = graphroot): Answer {
  const args = ['--repo', repository, 'oci', 'pull', '--local-fetch', 'auto', `containers-storage:${reference}`, tag];
  return run(cfsctl, args, { CONTAINERS_STORAGE_ROOT: store });
}

/** What cfsctl printed about a pull: `manifest`, `config`, `verity`, `tagged`, `objects`. */
export function pullReport({ status, stdout, stderr }: Answer): Record<string, string> {
  assert.equal(status, 0, stderr);
  return Object.fromEntries(
    stdout.split('\n').flatMap((line) => {
      const [, key, value] = /^(\w+) +(.*)$/.exec(line) ?? [];
      return key === undefined || value === undefined ? [] : [[key, value]];
    }),
  );
}

/**
 * Neither cfsctl nor we find anything wrong in a repository, its objects, and its images, and both checked the same.
 */
export function assertSound(repository: string): void {
  const [theirs, ours] = [cfsctl, cfsbridge].map((program) => succeed(program, ['--repo', repository, 'oci', 'fsck']));
  assert.match(theirs ?? '', /^status: ok$/m);
  assert.equal(ours, theirs);
}

/**
 * The same where cfsctl has linked files of a store: we alone say of those whose owner or mode lets others change or
 * execute them.
 */
export function assertSoundButForLinks(repository: string): void {
  const theirs = succeed(cfsctl, ['--repo', repository, 'oci', 'fsck']).split('\n');
  const ours = run(cfsbridge, ['--repo', repository, 'oci', 'fsck'])
    .stdout.split('\n')
    .filter((line) => !line.startsWith('  - fsck: object-unsafe: '));
  const rest = (lines: string[]): string[] => lines.filter((line) => !/^(objects|status): /.test(line));
  assert.ok(theirs.includes('status: ok'), theirs.join('\n'));
  assert.deepEqual(rest(ours), rest(theirs));
}

/** The names of a repository as they stand in its folders: what each stream and image is a link to. */
export function namesOf(repository: string): Map<string, string> {
  const names = new Map<string, string>();
  for (const area of ['streams', 'images']) {
    const folder = join(repository, area);
    if (!existsSync(folder)) continue;
    for (const name of readdirSync(folder).sort())
      if (name !== 'refs') names.set(`${area}/${name}`, readlinkSync(join(folder, name)));
  }
  return names;
}

/** The names that are the same in every repository. cfsctl writes the references of a manifest in no fixed order. */
export function fixedNamesOf(repository: string): Map<string, string> {
  return new Map(
    [...namesOf(repository)].map(([name, target]) => [name, name.startsWith('streams/oci-manifest-') ? 'any' : target]),
  );
}
