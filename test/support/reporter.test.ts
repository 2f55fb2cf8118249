import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const support = fileURLToPath(new URL('./', import.meta.url));

const sample = `
import { describe, test } from 'node:test';
describe('a suite is not a test', () => {
  test('passes', () => {});
  test('fails', () => { throw new Error('broken on purpose'); });
});
test('is skipped', { skip: 'the moon is full' });
describe('a suite nobody runs', { skip: 'the peer is out' }, () => {
  test('is never heard of', () => {});
});
`;

test('the reporters count tests, and suites that are skipped whole, and show errors and reasons', () => {
  const dir = mkdtempSync(join(tmpdir(), 'cfsbridge-reporter-'));
  try {
    const [file, counts] = [join(dir, 'sample.test.mjs'), join(dir, 'counts.json')];
    writeFileSync(file, sample);
    const args = [
      ...['--test', `--test-reporter=${support}reporter.js`, '--test-reporter-destination=stdout'],
      ...[`--test-reporter=${support}reporter-counts.js`, `--test-reporter-destination=${counts}`, file],
    ];
    // The variable tells a test file that a runner is listening; this run is nobody's child.
    const { NODE_TEST_CONTEXT: _, ...env } = process.env;
    const { status, stdout } = spawnSync(process.execPath, args, { encoding: 'utf8', env });
    assert.equal(status, 1);
    assert.deepEqual(JSON.parse(readFileSync(counts, 'utf8')), { passed: 1, failed: 1, skipped: 2 });
    assert.match(stdout, /FAILED .*"fails"\n {4}Error: broken on purpose/);
    assert.match(stdout, /skipped .*"is skipped": the moon is full/);
    assert.match(stdout, /skipped .*"a suite nobody runs": the peer is out/);
    assert.doesNotMatch(stdout, /"passes"/);
  } finally {
    rmSync(dir, { recursive: true });
  }
});
