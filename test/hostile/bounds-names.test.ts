// Names chosen so that they meet in tables.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { initRepository } from '../../src/repository/init.js';
import { attack } from './attack.js';
import { measured } from './measure.js';

const OBJECTS = 40_000;
const rest = (i: number): string => createHash('sha512').update(String(i)).digest('hex').slice(2);

/** All names begin with aa, as one folder is quicker to fill. */
const SHAPES: Record<string, (i: number) => string> = {
  'the same 16 first digits': (i) => '0'.repeat(14) + rest(i).slice(14),
  'the same 16 last digits': (i) => rest(i).slice(0, -16) + '0'.repeat(16),
  'all digits but eight the same': (i) => '0'.repeat(40) + i.toString(16).padStart(8, '0') + '0'.repeat(78),
};

let ordinary: Promise<number> | undefined;

for (const [shape, name] of Object.entries(SHAPES))
  attack(`${OBJECTS} object names with ${shape}: gc`, {}, async (t) => {
    ordinary ??= collect(t, rest);
    const [usual, seconds] = [await ordinary, await collect(t, name)];
    assert.ok(seconds < 3 * usual + 1, `${seconds} s, and ${usual} s for other names`);
    return `${seconds.toFixed(1)} s, other names ${usual.toFixed(1)} s`;
  });

async function collect(t: { after(fn: () => void): void }, name: (i: number) => string): Promise<number> {
  const repo = mkdtempSync(join(tmpdir(), 'bounds-names-'));
  t.after(() => rmSync(repo, { recursive: true }));
  initRepository(repo, { insecure: true });
  mkdirSync(join(repo, 'objects/aa'), { recursive: true });
  for (let i = 0; i < OBJECTS; i++) writeFileSync(join(repo, 'objects/aa', name(i)), '');
  const run = await measured(['--repo', repo, 'gc'], { limit: 60 });
  assert.equal(run.status, 0, run.stderr);
  assert.match(run.stdout, new RegExp(`^Objects: ${OBJECTS} removed`, 'm'));
  return run.seconds;
}
