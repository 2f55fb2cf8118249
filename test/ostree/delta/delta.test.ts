import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { createReadStream, existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { test } from 'node:test';
import { BridgeError, FormatError } from '../../../src/errors.js';
import { openDirectoryPath } from '../../../src/fd/fd.js';
import { applyDeltaParts } from '../../../src/ostree/delta/apply.js';
import type { DeltaBase, DeltaTarget } from '../../../src/ostree/delta/apply-part.js';
import { MemoryRange } from '../../../src/ostree/delta/byte-range.js';
import { deltaFolder } from '../../../src/ostree/delta/names.js';
import { parseSuperblock } from '../../../src/ostree/delta/superblock.js';
import { verifyChecksum, type Checksum } from '../../../src/ostree/object/checksum.js';
import { encodeHeader } from '../../../src/ostree/object/file-header.js';
import { fixtureJson } from '../../support/fixtures.js';
import { withoutLeak } from '../../support/open-fds.js';
import { archivedContent, archivedFile, recordedRepositories } from '../../support/ostree/recorded-repositories.js';

const never = new AbortController().signal;

/** Takes nothing but what its id says. */
class Verifier implements DeltaTarget {
  readonly ids = new Set<Checksum>();

  addMetadata(kind: string, id: Checksum, bytes: Buffer): void {
    verifyChecksum(bytes, id, kind);
    this.ids.add(id);
  }

  async addFile(id: Checksum, { header, size, content }: Parameters<DeltaTarget['addFile']>[1]): Promise<void> {
    const hash = createHash('sha256').update(encodeHeader(header));
    let length = 0;
    const pieces = content.kind === 'pieces' ? content.pieces : content.kind === 'bytes' ? [content.bytes] : [];
    for await (const piece of pieces) {
      assert.ok(piece.length <= 256 << 10, 'pieces are small');
      hash.update(piece);
      length += piece.length;
    }
    assert.equal(length, size);
    if (hash.digest('hex') !== id) throw new BridgeError('DIGEST_MISMATCH', `another file than ${id}`);
    this.ids.add(id);
  }

  async settle(): Promise<void> {
    await Promise.resolve();
  }
}

/** Files of any commit of an archive repository. */
function archiveBase(repository: string): DeltaBase {
  return {
    open: (id) => {
      if (!existsSync(archivedFile(repository, id)))
        throw new FormatError('OSTREE_DELTA', `the base has no file ${id}`);
      return Object.assign(new MemoryRange(archivedContent(repository, id)), { [Symbol.dispose]: () => undefined });
    },
  };
}

/** @returns the objects that the delta at a path makes */
async function apply(path: string, repository: string): Promise<Set<Checksum>> {
  using folder = openDirectoryPath(repository);
  const target = new Verifier();
  const superblock = parseSuperblock(new MemoryRange(readFileSync(path)));
  await applyDeltaParts(
    superblock,
    archiveBase(repository),
    folder,
    (index) => createReadStream(`${dirname(path)}/${index}`),
    target,
    never,
  );
  const listed = superblock.parts.flatMap(({ objects }) => objects.map(({ id }) => id));
  assert.deepEqual([...target.ids].sort(), [...new Set([...listed, superblock.to])].sort());
  return target.ids;
}

test('each recorded delta makes the objects that it lists, in any form in which ostree writes one', async (t) => {
  const source = recordedRepositories(t, 'deltas');
  const { commits, deltas } = fixtureJson<{
    commits: Record<string, Checksum>;
    deltas: Record<string, { path?: string; from_: string; to: string; fallbacks: number }>;
  }>('ostree/deltas/case.json');
  const both = await withoutLeak(async () => {
    const made: Set<Checksum>[] = [];
    for (const [name, { path, from_, to, fallbacks }] of Object.entries(deltas)) {
      if (path === undefined) continue;
      assert.equal(deltaFolder(from_ === '' ? undefined : from_, to), path);
      const file = `${source}/d/${name}/${path}/superblock`;
      assert.equal(parseSuperblock(new MemoryRange(readFileSync(file))).fallbacks.length, fallbacks);
      made.push(await apply(file, `${source}/archive`));
    }
    return made;
  });
  assert.ok(both.length > 10 && both.every((ids) => ids.has(commits['d/a']!) || ids.has(commits['d/b']!)));
  for (const name of ['a-b.delta', 'a-b.signed.delta', 'b.delta', 'parts/superblock'])
    assert.ok((await apply(`${source}/single/${name}`, `${source}/archive`)).has(commits['d/b']!));
});

test('each recorded delta that lies is refused, the honest one is not', async (t) => {
  const source = recordedRepositories(t, 'bad-deltas');
  const { items } = fixtureJson<{ items: Record<string, { path: string; right: { rc: number } }> }>(
    'ostree/bad-deltas/case.json',
  );
  // Whoever asks has to compare: the delta itself cannot tell what it was asked for.
  const elsewhere = new Set(['wrong-from', 'wrong-to', 'digest-in-index', 'no-parts']);
  let refused = 0;
  for (const [name, { path, right }] of Object.entries(items)) {
    const file = `${source}/d/${name}/${path}/superblock`;
    assert.ok(existsSync(file), name);
    const applied = withoutLeak(async () => apply(file, `${source}/archive`));
    if (right.rc === 0 || elsewhere.has(name)) await applied;
    else {
      await assert.rejects(applied, (error) => error instanceof BridgeError, name);
      refused++;
    }
  }
  assert.ok(refused >= 17, `${refused}`);
  assert.equal(readdirSync(`${source}/d`).length, Object.keys(items).length);
});
