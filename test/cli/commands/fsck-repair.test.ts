import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readFileSync, realpathSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { recorded, RecordedRepository } from '../../support/cli/recorded-repository.js';
import { runCli } from '../../support/cli/run-cli.js';
import { startCli, type Ended } from '../../support/cli/start-cli.js';
import { fixture } from '../../support/fixtures.js';
import { writeArchive } from '../../support/images/ostree-archive.js';
import { archiveServer } from '../../support/ostree/archive-server.js';
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

test('fsck --repair shows a server of ostree who asks, and believes whom it is told to', async (t) => {
  const folder = scratch(t);
  const archive = join(folder, 'archive');
  const [commit] = writeArchive(archive, { 'web/stable': { file: 'much '.repeat(1000) } });
  const repository = ['--repo', join(folder, 'repository')];
  assert.equal(runCli([...repository, 'init', '--insecure']).status, 0);
  assert.equal(runCli([...repository, 'ostree', 'pull-local', archive, 'web/stable']).status, 0);
  const stream = join(folder, `repository/streams/ostree-commit-${commit}`);
  const basic = `Basic ${Buffer.from('me:secret').toString('base64')}`;
  const server = await archiveServer(
    t,
    [archive],
    ({ headers }, response) => {
      if (headers.authorization === basic && headers['x-token'] === 'mine') return false;
      response.writeHead(401, { 'www-authenticate': 'Basic realm="repo"' }).end();
      return true;
    },
    { key: fixture('tls/server.key'), cert: fixture('tls/server.crt') },
  );
  const certs = join(folder, 'certs');
  mkdirSync(certs);
  writeFileSync(join(certs, 'ca.crt'), fixture('tls/ca.crt'));
  const authfile = join(folder, 'auth.json');
  const auth = Buffer.from('me:secret').toString('base64');
  writeFileSync(authfile, JSON.stringify({ auths: { [server.host]: { auth } } }));
  const nothing = { HOME: folder, XDG_CONFIG_HOME: '', XDG_RUNTIME_DIR: '', REGISTRY_AUTH_FILE: '' };
  const repair = async (...options: string[]): Promise<Ended> => {
    if (existsSync(stream)) writeFileSync(realpathSync(stream), '');
    return await startCli([...repository, 'fsck', '--repair', '--from', server.url, ...options], nothing).ended;
  };
  const header = ['--header', 'X-Token: mine'];
  const ca = ['--cert-dir', certs];
  const creds = ['--creds', 'me:secret'];
  for (const [options, problem] of [
    [[], /certificate/],
    [[...ca, ...header], /status 401/],
    [[...ca, ...creds], /status 401/],
    [[...ca, ...header, '--authfile', authfile, '--no-creds'], /status 401/],
    [[...ca, ...header, ...creds], undefined],
    [[...ca, ...header, '--authfile', authfile], undefined],
    [['--tls-verify', 'false', ...header, ...creds], undefined],
  ] as const) {
    const { status, stdout, stderr } = await repair(...options);
    assert.equal(status, problem === undefined ? 0 : 1, `${options.join(' ')}: ${stdout}${stderr}`);
    if (problem !== undefined) assert.match(stdout, problem);
    else assert.match(stdout, /^repaired: 1$/m);
    assert.doesNotMatch(stdout + stderr, /secret/);
  }
});

test('what is for one server is sent to none when the sources are at several', async (t) => {
  const folder = scratch(t);
  assert.equal(runCli(['init', '--insecure', folder]).status, 0);
  const servers = [await archiveServer(t, [folder]), await archiveServer(t, [folder])];
  const from = servers.flatMap(({ url }) => ['--from', url]);
  for (const options of [
    ['--creds', 'me:secret'],
    ['--header', 'X-Token: mine'],
  ]) {
    const { status, stderr } = await startCli(['--repo', folder, 'fsck', '--repair', ...from, ...options]).ended;
    assert.equal(status, 1);
    assert.match(stderr, /credentials and headers are for one server, and the sources are at http:\/\/127/);
  }
  assert.equal((await startCli(['--repo', folder, 'fsck', '--repair', ...from, '--no-creds']).ended).status, 0);
  assert.deepEqual(
    servers.map(({ requests }) => requests),
    [[], []],
  );
});

const wrong: [args: string[], status: number, stderr: RegExp][] = [
  [['--from', '/x'], 2, /--from/],
  [['--creds', 'me:secret'], 2, /'--creds' needs '--repair'/],
  [['--repair', '--creds', 'me:secret'], 2, /'--creds' needs '--from' with the URL of an ostree repository/],
  [['--repair', '--from', '/srv/x', '--header', 'a: b'], 2, /'--header' needs '--from' with the URL/],
  [['--repair', '--from', 'docker://localhost/x', '--cert-dir', '/x'], 2, /'--cert-dir' needs '--from' with the URL/],
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
