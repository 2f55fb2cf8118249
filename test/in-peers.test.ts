import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const script = fileURLToPath(new URL('../../scripts/in-peers.sh', import.meta.url));
const mayMount = spawnSync('unshare', ['-m', 'true']).status === 0;

test('callers of in-peers.sh at the same instant mount everything once', {
  skip: mayMount ? false : 'mounting needs root',
}, () => {
  const peers = mkdtempSync(join(tmpdir(), 'in-peers-'));
  try {
    for (const name of ['proc', 'sys', 'dev']) mkdirSync(join(peers, 'sid', name), { recursive: true });
    // The tree is empty: what is called in it cannot be there. The mounts end with the shell.
    const calls =
      'for caller in 1 2 3 4 5 6 7 8; do "$0" true 2>/dev/null & done; wait; cut -d " " -f 5 /proc/self/mountinfo';
    const { stdout } = spawnSync('unshare', ['-m', 'sh', '-c', calls, script], {
      encoding: 'utf8',
      env: { ...process.env, CFSBRIDGE_PEERS: peers },
    });
    const mounts = stdout.split('\n').filter((path) => path.startsWith(`${peers}/`));
    const ours = mounts.filter((path) => /\/sid(?:\/(?:proc|sys|dev|share))?$/.test(path)).sort();
    assert.deepEqual(
      ours,
      ['', '/dev', '/proc', '/share', '/sys'].map((name) => `${peers}/sid${name}`),
    );
  } finally {
    rmSync(peers, { recursive: true });
  }
});
