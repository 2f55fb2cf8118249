import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const program = fileURLToPath(new URL('./mount-clone.program.js', import.meta.url));
const canMount = spawnSync('unshare', ['-m', 'true']).status === 0;

test('links out of a directory that is mounted on itself', {
  skip: canMount ? false : 'needs a mount namespace of its own (CAP_SYS_ADMIN)',
}, () => {
  const folder = mkdtempSync(join(tmpdir(), 'mount clone '));
  try {
    mkdirSync(join(folder, 'overlay/layer'), { recursive: true });
    mkdirSync(join(folder, 'repo'));
    writeFileSync(join(folder, 'overlay/layer/file'), 'content');
    const output = execFileSync('unshare', ['-m', process.execPath, program, folder], { encoding: 'utf8' });
    assert.deepEqual(JSON.parse(output), { before: ['linked', 'no clone'], mounted: ['EXDEV', 'linked'] });
  } finally {
    rmSync(folder, { recursive: true });
  }
});
