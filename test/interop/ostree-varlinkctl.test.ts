// systemd's varlinkctl calls every method of org.composefs.bridge.Ostree by hand; the commands say the same, and ostree and
// cfsctl take what came of it.
import assert from 'node:assert/strict';
import { execFile, spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import { bytesOf } from '../../src/bytes.js';
import { openPath } from '../../src/fd/fd.js';
import { setXattr } from '../../src/fd/xattrs.js';
import { parseIdl } from '../../src/rpc/varlink/idl.js';
import { fixture } from '../support/fixtures.js';
import { cfsbridge } from '../support/cli/run-cli.js';
import { writeLayout } from '../support/images/oci-layout.js';
import { systemTar } from '../support/layers/system-tar.js';
import { archiveServer } from '../support/ostree/archive-server.js';
import { cfsctl, inPeers, inTree, peers, run, SharedFolder, succeed, whyNoPeers, type Answer } from './peers.js';
import { makeRepository } from './repositories.js';
import { startServer } from './varlink-servers.js';

const started = promisify(execFile);
const NAME = 'org.composefs.bridge.Ostree';
const skip =
  whyNoPeers() ||
  (existsSync(join(peers, 'sid/usr/bin/varlinkctl')) ? false : 'varlinkctl is not there; scripts/peers.sh installs it');

describe('commits by varlinkctl', { skip }, () => {
  const shared = new SharedFolder();
  const repository = join(shared.path, 'repository');
  const archive = join(shared.path, 'archive');
  const called = new Set<string>();
  let server: AsyncDisposable | undefined;
  const varlinkctl = (...args: string[]): Answer => run(inPeers, ['varlinkctl', ...args], { CFSBRIDGE_PEERS: peers });
  const address = `unix:${shared.inside}/socket`;
  const ours = (...words: string[]): string => succeed(cfsbridge, ['--repo', repository, 'ostree', ...words]);

  before(async () => {
    makeRepository(repository);
    const tar = spawnSync('tar', ['--no-same-owner', '-xpf', '-', '-C', shared.path], {
      input: fixture('ostree/signatures/source.tar'),
    });
    assert.equal(tar.status, 0, tar.stderr.toString());
    server = await startServer('cfsbridge', join(shared.path, 'socket'));
    const opened = varlinkctl(
      '-j',
      'call',
      address,
      'org.composefs.Repository.OpenRepository',
      `{"path":"${repository}"}`,
    );
    assert.equal(opened.status, 0, opened.stderr);
  });
  after(async () => {
    await server?.[Symbol.asyncDispose]();
    shared[Symbol.dispose]();
  });

  /** The replies of a call that has to succeed. */
  function call(method: string, parameters: object, ...options: string[]): Record<string, unknown>[] {
    const { status, stdout, stderr } = attempt(method, parameters, ...options);
    assert.equal(status, 0, `${method}: ${stderr}`);
    return stdout
      .replaceAll('\x1e', '')
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as Record<string, unknown>);
  }

  function attempt(method: string, parameters: object, ...options: string[]): Answer {
    called.add(method);
    const text = JSON.stringify({ handle: 1, ...parameters });
    return varlinkctl('-j', ...options, 'call', address, `${NAME}.${method}`, text);
  }

  const one = (method: string, parameters: object): Record<string, unknown> => call(method, parameters)[0]!;

  test('brings commits that are signed, and refuses others', () => {
    const key = 'VU4DZGIBCX5u0NCbXLEII2kHdsvBSBwljXC7HIZyrIM=';
    const pull = { place: archive, verification: { ed25519: [key] } };
    assert.match(attempt('Pull', { ...pull, ref: 'sig/unsigned' }).stderr, /InternalError/);
    assert.match(attempt('Pull', { ...pull, ref: 'sig/ed', verification: {} }).stderr, /InvalidRequest/);
    const frames = call('Pull', { ...pull, ref: 'sig/ed' }, '--more');
    const { commit, name, delta_parts } = frames.at(-1)!['completed'] as Record<string, unknown>;
    assert.deepEqual([name, delta_parts], ['sig/ed', null]);
    assert.match(ours('inspect', 'sig/ed'), new RegExp(`^commit  ${commit as string}$`, 'm'));
    assert.deepEqual(one('ListCommits', {})['commits'], [{ name: 'sig/ed', commit }]);
  });

  test('asks a server as it is told to', async (t) => {
    const folder = join(shared.path, 's/ed');
    const { url, requests } = await archiveServer(t, [folder, archive]);
    // The server is in this process, which must not wait for the client.
    const words = ['varlinkctl', '-j', 'call', address];
    const asked = async (method: string, parameters: object): Promise<string> => {
      called.add(method);
      const call = [...words, `${NAME}.${method}`, JSON.stringify({ handle: 1, ...parameters })];
      return (await started(inPeers, call, { env: { ...process.env, CFSBRIDGE_PEERS: peers } })).stdout;
    };
    const refs = JSON.parse(await asked('ListRefs', { url, server: { headers: ['X-Token: mine'] } })) as {
      refs: { name: string; commit: string }[];
    };
    assert.ok(refs.refs.some(({ name }) => name === 'sig/two'));
    assert.equal(requests.at(-1)?.headers['x-token'], 'mine');
    const completed = JSON.parse(await asked('Pull', { place: url, ref: 'sig/two', server: { anonymous: true } })) as {
      completed: { name: string };
    };
    assert.equal(completed.completed.name, 'sig/two');
  });

  test('shows a commit as the commands do', () => {
    const shown = one('Inspect', { commit: 'sig/ed' });
    const json = JSON.parse(ours('inspect', '--json', 'sig/ed')) as Record<string, unknown>;
    for (const field of ['commit', 'image', 'parent', 'subject', 'body', 'timestamp', 'tree', 'dirmeta', 'metadata'])
      assert.deepEqual(shown[field], json[field], field);
    const dump = call('Dump', { commit: 'sig/ed' }, '--more')
      .map(({ text }) => text as string)
      .join('');
    assert.equal(dump, succeed(cfsctl, ['--repo', repository, 'ostree', 'dump', 'sig/ed']));
    const objects = call('ListObjects', { commit: 'sig/ed' }, '--more').flatMap((reply) => reply['objects']);
    const listed = json['objects'] as { object?: string | null }[];
    assert.deepEqual(
      objects,
      listed.map(({ object, ...rest }) => (object == null ? rest : { ...rest, object })),
    );
    for (const method of ['Dump', 'ListObjects'])
      assert.match(attempt(method, { commit: 'sig/ed' }).stderr, /ExpectedMore|more/i);
    assert.equal(`${one('ComputeId', { commit: 'sig/ed' })['image_id'] as string}\n`, ours('compute-id', 'sig/ed'));
    assert.match(attempt('Inspect', { commit: 'nothing' }).stderr, /NoSuchCommit/);
  });

  test('names commits, and takes names away', () => {
    call('Tag', { commit: 'sig/ed', name: 'tested' });
    assert.match(ours('images'), /tested/);
    call('Untag', { name: 'tested' });
    assert.match(attempt('Untag', { name: 'tested' }).stderr, /NoSuchCommit/);
  });

  test('makes a commit of a folder, mounts it, and exports it', () => {
    const tree = join(shared.path, 'tree');
    mkdirSync(tree);
    writeFileSync(join(tree, 'file'), 'a text that is long enough '.repeat(20));
    {
      using file = openPath(bytesOf(join(tree, 'file')));
      setXattr(file, 'user.colour', Buffer.from('blue'));
    }
    const made = one('Commit', { source: tree, reference: 'made', subject: 'Made', timestamp: 1000 });
    const again = ours('commit', tree, '--reference', 'made', '--subject', 'Made', '--timestamp', '1000');
    assert.match(again, new RegExp(`^commit  ${made['commit'] as string}$`, 'm'));
    // The same files, of which a pull makes the image that cfsctl makes.
    inTree('ostree', `--repo=${shared.inside}/labels`, 'init', '--mode=archive');
    inTree('ostree', `--repo=${shared.inside}/labels`, 'commit', '-b', 'labelled', `${shared.inside}/tree`);
    call('Pull', { place: join(shared.path, 'labels'), ref: 'labelled' });
    for (const [commit, warned] of [
      ['made', false],
      ['labelled', true],
    ] as const) {
      const script = 'cat; echo; ls -d /proc/self/fd/3/*';
      const parameters = JSON.stringify({ handle: 1, commit, options: {} });
      called.add('Mount');
      const words = ['--exec', 'call', address, `${NAME}.Mount`, parameters, '--', 'sh', '-c', script];
      const { status, stdout, stderr } = varlinkctl(...words);
      assert.equal(status, 0, stderr);
      assert.match(stdout, /\/proc\/self\/fd\/3\/\w/);
      assert.equal(/do not work/.test(stdout), warned, stdout);
    }
    inTree('ostree', `--repo=${shared.inside}/bare`, 'init', '--mode=bare');
    const path = join(shared.path, 'bare');
    assert.equal(one('Export', { commit: 'made', path, reference: 'stable' })['commit'], made['commit']);
    inTree('ostree', `--repo=${shared.inside}/bare`, 'fsck');
    assert.equal(inTree('ostree', `--repo=${shared.inside}/bare`, 'rev-parse', 'stable').trim(), made['commit']);
  });

  test('a stranger does not name files for the server to read', () => {
    chmodSync(shared.path, 0o755);
    chmodSync(join(shared.path, 'socket'), 0o666);
    const stranger = (method: string, parameters: object): Answer => {
      const words = [
        'setpriv',
        '--reuid=65534',
        '--regid=65534',
        '--clear-groups',
        'varlinkctl',
        '-j',
        'call',
        address,
      ];
      const text = JSON.stringify({ handle: 1, ...parameters });
      return run(inPeers, [...words, `${NAME}.${method}`, text], { CFSBRIDGE_PEERS: peers });
    };
    assert.equal(stranger('ListCommits', {}).status, 0);
    for (const [method, parameters] of [
      ['Commit', { source: join(shared.path, 'tree') }],
      ['Pull', { place: 'http://127.0.0.1:1/', ref: 'x', server: { authfile: '/etc/shadow' } }],
      ['ListRefs', { url: 'http://127.0.0.1:1/', server: { cert_dir: '/etc' } }],
    ] as const)
      assert.match(stranger(method, parameters).stdout, /only root and the user of the server/, method);
  });

  test('exports a container image', () => {
    const layout = join(shared.path, 'layout');
    writeLayout(layout, [systemTar({ 'usr/bin/tool': 'tool '.repeat(100), 'etc/tool': 'few' })]);
    succeed(cfsbridge, ['--repo', repository, 'oci', 'pull', `oci:${layout}:image`, 'web']);
    const path = join(shared.path, 'bare');
    const call = { commit: 'web', path, reference: 'web', oci: true, subject: 'Web', timestamp: 1000 };
    const exported = one('Export', call)['commit'];
    const words = ['export', '--oci', 'web', path, '--reference', 'web', '--subject', 'Web', '--timestamp', '1000'];
    assert.match(ours(...words), new RegExp(`^commit  ${exported as string}$`, 'm'));
    inTree('ostree', `--repo=${shared.inside}/bare`, 'fsck');
  });

  test('applies a delta that ostree made', () => {
    const file = `${shared.inside}/two.delta`;
    const generate = ['static-delta', 'generate', '--empty', '--inline', '--to=sig/two', `--filename=${file}`];
    inTree('ostree', `--repo=${shared.inside}/archive`, ...generate);
    const apply = { path: join(shared.path, 'two.delta'), reference: 'sig/two', fix_xattrs: true };
    const two = 'uHM0saiuHk2sMFMJ+EnL2Xnj8fu4te/Ur/1FKbU6Hg8=';
    assert.equal(one('ApplyDelta', { ...apply, verification: { ed25519: [two] } })['name'], 'sig/two:fixed-xattrs');
    const bound = { ...apply, reference: 'other', verification: { ed25519: [two] } };
    assert.match(attempt('ApplyDelta', bound).stderr, /InternalError/);
  });

  test('nothing of the definition is left out, and cfsctl finds nothing wrong', () => {
    const idl = parseIdl(varlinkctl('introspect', address, NAME).stdout);
    assert.deepEqual([...idl.methods.keys()].sort(), [...called].sort());
    assert.match(succeed(cfsctl, ['--repo', repository, 'fsck']), /^status: ok$/m);
  });
});
