// Layers with a mark after files of their own. cfsctl 0.9.4 loses those files; what it makes of such a layer is what
// anybody makes of the same layer without them, which gives its ids here.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect } from '../../../src/fd/fd-passing.js';
import { openImage } from '../../../src/oci/image/image.js';
import { imageRefName } from '../../../src/oci/image/refs.js';
import { writeImage } from '../../../src/oci/pull/write-image.js';
import { initRepository } from '../../../src/repository/init.js';
import { Repository } from '../../../src/repository/repository.js';
import { VarlinkConnection } from '../../../src/rpc/varlink/client.js';
import { ociMethods } from '../../../src/rpc/contracts/oci.js';
import { repositoryMethods } from '../../../src/rpc/contracts/repository.js';
import { cfsbridge, runCli } from '../../support/cli/run-cli.js';
import { END, header, padded } from '../../support/layers/make-tar.js';
import { newFolder, newLayout, sha256, type Layout } from '../../support/images/source-layout.js';

const directory = (name: string): Buffer => header({ name, type: '5', mode: 0o755 });
const file = (name: string, content = 'content'): Buffer =>
  Buffer.concat([header({ name, size: content.length }), padded(Buffer.from(content))]);
const mark = (name: string): Buffer => header({ name });
const tar = (...parts: Buffer[]): Buffer => Buffer.concat([...parts, END]);

const base = tar(directory('usr/'), directory('usr/d/'), file('usr/d/old'), directory('boot/'), directory('sysroot/'));
const late = tar(directory('usr/d/'), file('usr/d/new'), mark('usr/d/.wh..wh..opq'));
const lost = tar(directory('usr/d/'), mark('usr/d/.wh..wh..opq'));

interface Made {
  layout: Layout;
  repository: string;
  run: (...args: string[]) => { status: number | null; stdout: string; stderr: string };
}

function made(t: TestContext, config: object = {}): Made {
  const layout = newLayout(t);
  const image = (top: Buffer, more: object): ReturnType<Layout['image']> =>
    layout.image([{ tar: base }, { tar: top }], more);
  layout.publish({ late: image(late, { config }), lost: image(lost, {}) });
  const repository = join(newFolder(t), 'repository');
  initRepository(repository, { insecure: true, algorithm: 'sha256' });
  return { layout, repository, run: (...args) => runCli(['--repo', repository, ...args]) };
}

const pull = ({ layout, run }: Made, name: string, ...options: string[]): { id: string; stderr: string } => {
  const { status, stdout, stderr } = run('oci', 'pull', '--json', ...options, `oci:${layout.path}:${name}`, name);
  assert.equal(status, 0, stderr);
  return { id: (JSON.parse(stdout) as { images: { id: string }[] }).images[0]?.id ?? '', stderr };
};

const said = (stderr: string): string[] => stderr.split('\n').filter((line) => line.includes('.wh..wh..opq'));

function assertSound({ run }: Made): void {
  const { status, stdout } = run('oci', 'fsck');
  assert.equal(status, 0, stdout);
}

test('files before an opaque mark stay, and one line says which mark cfsctl reads otherwise', (t) => {
  const at = made(t);
  const { id, stderr } = pull(at, 'late');
  assert.equal(said(stderr).length, 1, stderr);
  assert.match(said(stderr)[0] ?? '', new RegExp(`layer ${sha256(late)}: .*"usr/d/\\.wh\\.\\.wh\\.\\.opq"`));
  const dump = at.run('oci', 'dump', 'late');
  assert.deepEqual(dump.stdout.match(/^\/usr\/d\/\S+/gm), ['/usr/d/new']);
  assert.equal(said(dump.stderr).length, 1, dump.stderr);
  assert.equal(at.run('oci', 'compute-id', 'late').stdout, `${id}\n`);
  const other = pull(at, 'lost');
  assert.notEqual(other.id, id);
  assert.deepEqual(said(other.stderr), []);
  assertSound(at);
});

test('the image that cfsctl stored keeps its reference, and fsck takes it', async (t) => {
  const at = made(t);
  const { id } = pull(at, 'late');
  const { id: cfsctls } = pull(at, 'lost');
  await refer(at.repository, cfsctls);
  assertSound(at);
  rmSync(join(at.repository, 'verified'), { recursive: true });
  assert.equal(pull(at, 'late').id, cfsctls);
  assertSound(at);
  const again = pull(at, 'late');
  assert.equal(again.id, cfsctls);
  assert.deepEqual(said(again.stderr), [], 'nothing was made');
  assert.notEqual(id, cfsctls);
});

test('fsck --repair makes the image anew that was there, in either order', async (t) => {
  const at = made(t);
  const { id } = pull(at, 'late');
  const { id: cfsctls } = pull(at, 'lost');
  assert.notEqual(id, cfsctls);
  at.run('oci', 'untag', 'lost');
  for (const [which, wanted] of [
    ['spec', id],
    ['cfsctl', cfsctls],
  ] as const) {
    await refer(at.repository, wanted);
    rmSync(join(at.repository, 'objects', wanted.slice(0, 2), wanted.slice(2)));
    const { status, stdout, stderr } = at.run('fsck', '--repair');
    assert.equal(status, 0, `${which}: ${stdout}${stderr}`);
    assert.ok(existsSync(join(at.repository, 'objects', wanted.slice(0, 2), wanted.slice(2))), which);
    assertSound(at);
  }
});

test('an image sealed with either id is the one that is made', (t) => {
  const first = made(t);
  const ids = [pull(first, 'late').id, pull(first, 'lost').id];
  assert.notEqual(ids[0], ids[1]);
  for (const seal of ids) {
    const at = made(t, { Labels: { 'containers.composefs.fsverity': seal } });
    assert.equal(pull(at, 'late').id, seal);
    assert.deepEqual(
      readdirSync(join(at.repository, 'images')).filter((name) => name !== 'refs'),
      [seal],
    );
    assertSound(at);
  }
});

test('--expected-digest finds the boot image of either order, and says how much it tried', (t) => {
  const at = made(t);
  const bootImage = (name: string): string => {
    pull(at, name);
    return at.run('oci', 'compute-id', '--bootable', name).stdout.trim();
  };
  const [ours, cfsctls] = [bootImage('late'), bootImage('lost')];
  assert.notEqual(ours, cfsctls);
  for (const expected of [ours, cfsctls]) {
    const { status, stdout, stderr } = at.run(
      'oci',
      'pull',
      '--bootable',
      '--expected-digest',
      expected,
      `oci:${at.layout.path}:late`,
      'late',
    );
    assert.equal(status, 0, stderr);
    assert.match(stdout, new RegExp(`^Boot image: ${expected} `, 'm'));
    assertSound(at);
  }
  const tried = (name: string): string => {
    const { status, stderr } = at.run(
      'oci',
      'pull',
      '--bootable',
      '--expected-digest',
      'ff'.repeat(32),
      `oci:${at.layout.path}:${name}`,
      name,
    );
    assert.equal(status, 1);
    return stderr;
  };
  assert.match(
    tried('lost'),
    /^Error: No boot image configuration matched expected digest f{64} \(tried 4 mode\/version combinations\)$/m,
  );
  assert.match(tried('late'), /\(tried 8 mode\/version combinations\)$/m);
});

test('a varlink server says it where a reply has no place for it', async (t) => {
  const at = made(t);
  const { id } = pull(at, 'late');
  const other = join(newFolder(t), 'other');
  initRepository(other, { insecure: true, algorithm: 'sha256' });
  const socket = join(newFolder(t), 'varlink.sock');
  const server = spawn(cfsbridge, ['varlink', '--address', socket], { stdio: ['ignore', 'ignore', 'pipe'] });
  t.after(() => server.kill('SIGKILL'));
  let stderr = '';
  server.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  for (const deadline = performance.now() + 20_000; !existsSync(socket) && performance.now() < deadline; )
    await sleep(20);

  const copied = runCli([
    '--repo',
    at.repository,
    'oci',
    'copy',
    'late',
    '--to',
    other,
    '--socket',
    socket,
    '--name',
    'late',
  ]);
  assert.equal(copied.status, 0, copied.stderr);
  assert.equal(runCli(['--repo', other, 'oci', 'compute-id', 'late']).stdout, `${id}\n`);
  {
    using client = new VarlinkConnection(await connect(socket));
    const {
      parameters: { handle },
    } = await client.call(repositoryMethods.OpenRepository, { path: other });
    const { parameters } = await client.call(ociMethods.ComputeId, {
      handle,
      image: 'late',
      xattrs: 'AllowlistOnly',
      bootable: false,
    });
    assert.equal(parameters.image_id, id);
  }
  server.kill('SIGTERM');
  await once(server, 'close');
  assert.equal(said(stderr).length, 2, stderr);
  for (const line of said(stderr)) assert.match(line, new RegExp(`^layer ${sha256(late)}: the mark "usr/d/`));
});

/** Makes another EROFS image, which is in the repository, the one of `late`. */
async function refer(path: string, id: string): Promise<void> {
  using repository = await Repository.open(path, { write: true });
  const { manifestStream, configStream, config } = await openImage(repository, 'late');
  const layers = new Map(config?.rootfs.diff_ids.map((diffId) => [diffId, configStream.namedRefs.get(diffId) ?? '']));
  await writeImage(repository, {
    manifest: manifestStream.bytes,
    config: configStream.bytes,
    layers,
    images: new Map([[imageRefName({ version: 1, boot: false, keepUserXattrs: false }), id]]),
  });
}
