// The patch that is written; that it can be applied is seen in create.test.ts.
import assert from 'node:assert/strict';
import { constants } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { bytesOf } from '../../../src/bytes.js';
import { openPath } from '../../../src/fd/fd.js';
import { PatchWriter } from '../../../src/oci/delta/patch-writer.js';
import { withInsertions } from '../../support/images/delta-pair.js';
import { newFolder, newRepository } from '../../support/images/source-layout.js';
import { noise } from '../../support/random.js';

for (const version of [1, 2] as const)
  test(`version ${version}: the number of threads does not show`, async (t) => {
    const { repository } = await newRepository(t);
    const folder = newFolder(t);
    // Longer than what one thread compresses at a time.
    const sizes = [9_000_000, 700_000, 300_000, 5000];
    const files = await Promise.all(
      sizes.map(async (size) => {
        const old = noise(size, `${size}`);
        const now = withInsertions(old, 20);
        const id = await repository.objects.put(old);
        return { old: { id, size }, now: { id: await repository.objects.put(now), size: now.length } };
      }),
    );
    const digests = new Set<string>();
    for (const threads of [1, 2, 3, 8]) {
      using out = openPath(bytesOf(join(folder, `${threads}`)), constants.O_RDWR | constants.O_CREAT, 0o600);
      await using patch = new PatchWriter(
        repository.objects,
        out,
        { version, level: 3, threads },
        new AbortController().signal,
      );
      for (const { old, now } of files) {
        patch.data(noise(512, 'header'));
        await patch.changed('old', old, now);
        patch.copy('same', old.size);
        patch.content(now);
        await patch.room();
      }
      digests.add((await patch.finish()).digest);
    }
    assert.equal(digests.size, 1);
  });
