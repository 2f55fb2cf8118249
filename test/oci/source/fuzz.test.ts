import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { compress } from 'zstd-napi';
import { BridgeError } from '../../../src/errors.js';
import { openSource } from '../../../src/oci/source/open.js';
import { pullImage } from '../../../src/oci/pull/pull.js';
import { initRepository } from '../../../src/repository/init.js';
import { Repository } from '../../../src/repository/repository.js';
import { withoutLeak } from '../../support/open-fds.js';
import { newFolder, newLayout, sha256, tarOf } from '../../support/images/source-layout.js';

const ROUNDS = 150;

/** The same numbers in every run. */
function random(seed: number, below: number): number {
  return createHash('sha256').update(`${seed}`).digest().readUInt32LE() % below;
}

test('an archive with a changed byte gives the same layers, or an error that says what is wrong', async (t) => {
  const layout = newLayout(t);
  const tars = [tarOf({ text: 'text '.repeat(40), small: 'x' }), tarOf({ other: 'other '.repeat(40) })];
  const [first, second] = tars as [Buffer, Buffer];
  layout.publish({
    it: layout.image([
      { tar: first, blob: gzipSync(first) },
      { tar: second, blob: compress(second) },
    ]),
  });
  const archive = join(newFolder(t), 'archive.tar');
  execFileSync('tar', ['-cf', archive, '-C', layout.path, '.']);
  const good = readFileSync(archive);
  const folder = newFolder(t);
  let refused = 0;
  await withoutLeak(async () => {
    for (let round = 0; round < ROUNDS; round++) {
      const bad = Buffer.from(good);
      const at = random(2 * round, bad.length);
      bad[at] = (bad[at] as number) ^ (1 + random(2 * round + 1, 255));
      writeFileSync(archive, bad);
      const path = join(folder, `${round}`);
      initRepository(path, { insecure: true, algorithm: 'sha256' });
      using repository = await Repository.open(path, { write: true });
      try {
        await using source = await openSource(`oci-archive:${archive}`);
        const { layers } = await pullImage(repository, source);
        assert.deepEqual(
          layers.map(({ diffId }) => diffId),
          tars.map(sha256),
        );
      } catch (error) {
        assert.ok(error instanceof BridgeError, `byte ${at}: ${error instanceof Error ? error.stack : String(error)}`);
        refused++;
        // A layer may have been stored before the other was refused, but only as what it is.
        for (const name of repository.listStreams())
          assert.ok(
            tars.some((tar) => name === `oci-layer-${sha256(tar)}`),
            name,
          );
      }
    }
  });
  assert.ok(refused > ROUNDS / 10);
});
