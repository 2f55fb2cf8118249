import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { inflateRawSync } from 'node:zlib';
import type { TestContext } from 'node:test';
import type { Checksum } from '../../../src/ostree/object/checksum.js';
import { parseSizedHeader } from '../../../src/ostree/object/file-header.js';
import { fixture } from '../fixtures.js';
import { scratch } from '../scratch.js';

/** The repositories of a recorded case, unpacked; they go with the test. */
export function recordedRepositories(t: TestContext, name: string): string {
  const folder = scratch(t);
  const { status, stderr } = spawnSync('tar', ['--no-same-owner', '-xpf', '-', '-C', folder], {
    input: fixture(`ostree/${name}/source.tar`),
  });
  if (status !== 0) throw new Error(`tar: ${stderr.toString()}`);
  return folder;
}

/** Where a file object of an archive repository is. */
export function archivedFile(repository: string, id: Checksum): string {
  return `${repository}/objects/${id.slice(0, 2)}/${id.slice(2)}.filez`;
}

/** The content of a file object of an archive repository. */
export function archivedContent(repository: string, id: Checksum): Buffer {
  const bytes = readFileSync(archivedFile(repository, id));
  const { length, size } = parseSizedHeader(bytes);
  return size === 0n ? Buffer.alloc(0) : inflateRawSync(bytes.subarray(length));
}
