import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { unpackSmallStore } from '../support/images/small-store.js';
import { cfsbridge } from '../support/cli/run-cli.js';

/**
 * Runs a shell script in a mount namespace of its own; for ordinary users inside a user namespace, as rootless podman
 * has it.
 */
function inNamespace(script: string): { status: number | null; stdout: string; stderr: string } {
  const flags = process.getuid?.() === 0 ? ['-m'] : ['-U', '-r', '-m'];
  return spawnSync('unshare', [...flags, 'sh', '-ec', script], { encoding: 'utf8' });
}

const skip = inNamespace('true').status === 0 ? false : 'mount namespaces cannot be made here';

test('files are hardlinked out of a store whose overlay folder is mounted on itself', { skip }, () => {
  const store = unpackSmallStore();
  const repository = mkdtempSync(`${store.graphroot}-repository-`);
  const overlay = join(store.graphroot, 'overlay');
  try {
    const program = `"${cfsbridge}" --repo "${repository}"`;
    const { status, stdout, stderr } = inNamespace(`
      mount --bind "${overlay}" "${overlay}"
      if ln "$(find "${overlay}" -type f -size +1k | head -n 1)" "${repository}/plain" 2>/dev/null; then exit 9; fi
      ${program} init --insecure
      CONTAINERS_STORAGE_ROOT="${store.graphroot}" ${program} oci pull --zero-copy containers-storage:localhost/alpha:v3 alpha
      ${program} fsck`);
    assert.equal(status, 0, stderr);
    const [, copied, refused] =
      /^objects {2}\d+ hardlinked \+ (\d+) copied.*\n +(\d+) copied: owner or mode$/m.exec(stdout) ??
      assert.fail(stdout);
    assert.equal(copied, refused);
    assert.match(stdout, /^status: ok$/m);
  } finally {
    store.remove();
    rmSync(repository, { recursive: true });
  }
});
