import assert from 'node:assert/strict';
import { existsSync, readFileSync, realpathSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { recorded, RecordedRepository } from '../../support/cli/recorded-repository.js';
import { runCli } from '../../support/cli/run-cli.js';
import { writeArchive } from '../../support/images/ostree-archive.js';
import { scratch } from '../../support/scratch.js';

function damageLayer(path: string): string {
  const file = realpathSync(join(path, 'streams', `oci-layer-${recorded.diff_ids[0]}`));
  writeFileSync(file, readFileSync(file).subarray(0, 100));
  return file.split('/').slice(-2).join('');
}

test('fsck --repair says what it did, as text and as JSON, and fails when something is left', async () => {
  await using damaged = await RecordedRepository.create();
  await using sound = await RecordedRepository.create();
  const id = damageLayer(damaged.path);
  const alone = runCli(['--repo', damaged.path, 'fsck', '--repair']);
  assert.equal(alone.status, 1);
  assert.match(alone.stderr, /^Error: the repository is not whole/);
  const lines = alone.stdout.split('\n');
  assert.deepEqual(lines.slice(0, 2), ['repaired: 0', 'quarantined: 1']);
  assert.match(
    lines[2] ?? '',
    new RegExp(`^  - objects/../[0-9a-f]+: object-digest-mismatch: measured [0-9a-f]{128}; now quarantine/${id}$`),
  );
  assert.match(
    alone.stdout,
    new RegExp(
      `^incomplete images: 1\\n  - t: layer ${recorded.diff_ids[0]}: its stream is lost\\nto complete them: `,
      'm',
    ),
  );
  assert.match(alone.stdout, /^status: \d+ error\(s\)$/m);
  assert.ok(existsSync(join(damaged.path, 'quarantine', id)));

  const repaired = runCli(['--repo', damaged.path, 'fsck', '--repair', '--json', '--from', sound.path]);
  assert.equal(repaired.status, 0, repaired.stderr);
  const { check, ...rest } = JSON.parse(repaired.stdout) as { check: { ok: boolean } };
  assert.deepEqual(rest, {
    ok: true,
    repaired: [{ object: id, from: sound.path }],
    quarantined: [],
    removed_names: [],
    incomplete_images: [],
    source_problems: [],
  });
  assert.equal(check.ok, true);
  assert.equal(runCli(['--repo', damaged.path, 'oci', 'fsck']).status, 0);
});

test('fsck --repair takes an ostree repository as source, and says what of a commit is lost', (t) => {
  const folder = scratch(t);
  const [commit] = writeArchive(`${folder}/archive`, { 'web/stable': { file: 'much '.repeat(1000) } });
  const repository = ['--repo', `${folder}/repository`];
  assert.equal(runCli([...repository, 'init', '--insecure']).status, 0);
  assert.equal(runCli([...repository, 'ostree', 'pull-local', `${folder}/archive`, 'web/stable']).status, 0);
  const stream = realpathSync(`${folder}/repository/streams/ostree-commit-${commit}`);
  writeFileSync(stream, '');
  const alone = runCli([...repository, 'fsck', '--repair']);
  assert.equal(alone.status, 1);
  assert.match(alone.stdout, new RegExp(`^  - web/stable: ostree commit ${commit}: its stream is lost\nto `, 'm'));
  const repaired = runCli([...repository, 'fsck', '--repair', '--from', `${folder}/archive`]);
  assert.equal(repaired.status, 0, repaired.stderr);
  assert.match(repaired.stdout, /^repaired: 1\n {2}- objects\/\S+: from the objects of the commit$/m);
  assert.equal(runCli([...repository, 'fsck']).status, 0);
});

const wrong: [args: string[], status: number, stderr: RegExp][] = [
  [['--from', '/x'], 2, /--from/],
  [['--repair', '--metadata-only'], 2, /cannot be used with/],
  [
    ['--repair', '--from', '/nowhere'],
    1,
    /^Error: opening source \/nowhere\n\nCaused by:\n[^]*neither a repository nor an image/,
  ],
  [['--repair', '--from', 'oci:/nowhere'], 1, /^Error: opening source oci:\/nowhere\n/],
];
for (const [args, status, stderr] of wrong)
  test(`fsck ${args.join(' ')} is refused`, async () => {
    await using repository = await RecordedRepository.create();
    const answer = runCli(['--repo', repository.path, 'fsck', ...args]);
    assert.deepEqual([answer.status, answer.stdout], [status, '']);
    assert.match(answer.stderr, stderr);
  });
