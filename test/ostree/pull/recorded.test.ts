// The pulls from repositories on disk in fixtures/ostree: what cfsctl made of them, or what is right.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { BridgeError } from '../../../src/errors.js';
import type { ErofsVersion } from '../../../src/erofs/format/options.js';
import type { Algorithm } from '../../../src/fsverity/algorithm.js';
import { OstreeFolder } from '../../../src/ostree/local/repository.js';
import { folderSource } from '../../../src/ostree/local/source.js';
import { isChecksum, sha256 } from '../../../src/ostree/object/checksum.js';
import { pullCommit, type PulledCommit } from '../../../src/ostree/pull/pull.js';
import { readCommit } from '../../../src/ostree/stream/read-commit.js';
import { initRepository } from '../../../src/repository/init.js';
import { takePolicy } from '../../../src/repository/local-fetch.js';
import { Repository } from '../../../src/repository/repository.js';
import { fastFolder } from '../../support/fast-folder.js';
import { openFds } from '../../support/open-fds.js';
import { fixture, fixtureJson, fixtureNames } from '../../support/fixtures.js';

interface Step {
  args?: string[];
  global?: string[];
  right?: { rc?: number; rc_either?: boolean };
  seen?: { rc: number; stdout: string; state?: { streams?: Record<string, { chunk_sha256?: string }> } };
}

interface Session {
  title: string;
  algorithm: Algorithm;
  erofs_version: ErofsVersion;
  private_source?: boolean;
  steps: Step[];
}

const scratch = mkdtempSync(join(fastFolder, 'cfsbridge-test-'));
after(() => rmSync(scratch, { recursive: true, force: true }));

function unpack(name: string): string {
  const folder = mkdtempSync(join(scratch, 'source-'));
  const { status, stderr } = spawnSync(
    'tar',
    ['-C', folder, '--xattrs', '--xattrs-include=*', '--numeric-owner', '-xpf', '-'],
    { input: fixture(`ostree/${name}/source.tar`), encoding: 'utf8' },
  );
  assert.equal(status, 0, stderr);
  return folder;
}

async function pull(path: string, ref: string, { algorithm, erofs_version: version }: Session) {
  const folder = mkdtempSync(join(scratch, 'repository-'));
  initRepository(folder, { algorithm, erofsVersion: version, insecure: true });
  using repository = await Repository.open(folder, { write: true });
  let failure: unknown;
  let pulled: PulledCommit | undefined;
  try {
    using source = OstreeFolder.open(path);
    const { trusted } = source;
    const policy = takePolicy('auto', { trusted, verityRequired: false, sealSource: false });
    const named = isChecksum(ref) ? undefined : ref;
    pulled = await pullCommit(repository, folderSource(source, policy), source.resolve(ref), { ref: named });
  } catch (error) {
    failure = error;
  }
  const chunk = pulled && (await readCommit(repository, pulled.commit)).objects.whole.bytes;
  return { pulled, failure, names: [...repository.listStreams(), ...repository.listImages()], chunk };
}

for (const name of fixtureNames('ostree').filter((entry) => entry !== 'README.md')) {
  const { sessions } = fixtureJson<{ sessions: Session[] }>(`ostree/${name}/case.json`);
  let source: string | undefined;
  for (const session of sessions) {
    const [{ args = [], global, right, seen }] = session.steps as [Step];
    const [, command, path = '', ref = '', ...more] = args;
    if (command !== 'pull-local' || more.length > 0 || ref === '' || global || session.private_source || !seen)
      continue;
    const root = /bare(?!-user-only)/.test(path) && process.geteuid?.() !== 0;
    const skip = root && 'needs root, for owners and xattrs';
    test(`${name}: ${session.title}: ${path} ${ref}`, { skip }, async () => {
      source ??= unpack(name);
      const before = openFds();
      const { pulled, failure, names, chunk } = await pull(path.replace('SRC', source), ref, session);
      assert.deepEqual(openFds(), before);
      if (failure !== undefined) {
        assert.ok(failure instanceof BridgeError, String(failure));
        assert.deepEqual(names, []);
        assert.ok(right?.rc_either ?? (right?.rc ?? seen.rc) !== 0, failure.message);
        return;
      }
      assert.equal(right?.rc_either ? 0 : (right?.rc ?? seen.rc), 0);
      if (seen.rc !== 0) return;
      assert.ok(pulled !== undefined && chunk !== undefined);
      assert.match(seen.stdout, new RegExp(`^image   ${pulled.image}$`, 'm'));
      assert.match(seen.stdout, new RegExp(`^objects ${pulled.metadata} metadata \\+ ${pulled.files} files`, 'm'));
      const recorded = seen.state?.streams?.[`ostree-commit-${pulled.commit}`]?.chunk_sha256;
      if (recorded !== undefined) assert.equal(sha256(chunk), recorded);
    });
  }
}
