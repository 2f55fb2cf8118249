// A file of a layer was changed by the owner of a repository: what root, or whoever root's service sends it to, makes
// of that.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { fstatSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { connect } from '../../src/fd/fd-passing.js';
import { openSplitfdstreamImage } from '../../src/oci/source/splitfdstream.js';
import { VarlinkConnection } from '../../src/rpc/varlink/client.js';
import { ociMethods } from '../../src/rpc/contracts/oci.js';
import { fastFolder } from '../support/fast-folder.js';
import { openHandle } from '../support/servers/repository-server.js';
import { attack, whyNoAttacker } from './attack.js';
import { AttackedServer } from './server.js';
import { cfsbridge, giveAway, imageLayout, scene } from './stranger-repository.js';

const skip = whyNoAttacker();

interface Changed {
  folder: string;
  repository: string;
  diffId: string;
  /** of the layer's tar, in bytes */
  size: number;
  /** of root, empty */
  own: string;
}

function changed(t: TestContext): Changed {
  const { folder, repository } = scene(t);
  const { diffId, layout } = imageLayout(folder);
  const own = join(folder, 'own');
  for (const path of [repository, own]) assert.equal(cfsbridge(['init', '--insecure', path]).status, 0);
  assert.equal(cfsbridge(['--repo', repository, 'oci', 'pull', `oci:${layout}`, 'image']).status, 0);
  const [object = ''] = spawnSync('grep', ['-rl', 'content 7 ', join(repository, 'objects')], {
    encoding: 'utf8',
  }).stdout.split('\n');
  writeFileSync(object, readFileSync(object, 'utf8').replace('content 7 ', 'CONTENT 7 '));
  giveAway(repository);
  return { folder, repository, diffId, size: statSync(join(layout, 'blobs', diffId.replace(':', '/'))).size, own };
}

/** Nothing was published, and none of what the stranger wrote is an object. */
function isEmpty(repository: string): void {
  assert.deepEqual(JSON.parse(cfsbridge(['--repo', repository, 'oci', 'images', '--json']).stdout), { images: [] });
  assert.equal(spawnSync('grep', ['-rl', 'CONTENT 7 ', repository]).status, 1, 'what the stranger wrote is an object');
  assert.deepEqual(
    readdirSync(repository).filter((name) => name.startsWith('.')),
    [],
  );
  assert.equal(cfsbridge(['--repo', repository, 'fsck']).status, 0);
}

attack('changes a file of a layer in a repository that root reads', { skip }, (t) => {
  const { repository, diffId } = changed(t);
  for (const words of [
    ['oci', 'layer', diffId],
    ['cat', `oci-layer-${diffId}`],
    ['oci', 'dump', 'image'],
    ['oci', 'compute-id', 'image'],
    ['oci', 'layer', diffId, '--dumpfile'],
  ]) {
    const { status, stderr } = cfsbridge(['--repo', repository, ...words]);
    assert.equal(status, 1, words.join(' '));
    assert.match(stderr, /expected (sha256:)?[0-9a-f]{64}/);
  }
  return 'layer, cat, dump and compute-id end with an error';
});

attack('changes a file of a layer in a repository that root serves over JSON-RPC', { skip }, async (t) => {
  const { folder, repository, size, own } = changed(t);
  await using server = await AttackedServer.start(folder, ['--repo', repository, 'serve', '--repository']);
  await using source = await openSplitfdstreamImage(server.socket, 'image');
  await using layer = await source.layers[0]!.open();
  let length = 0;
  for await (const chunks of layer)
    for (const chunk of chunks) {
      assert.ok(chunk.kind === 'bytes', 'a file was handed out that may change after it was hashed');
      length += chunk.bytes.length;
    }
  assert.ok(length < size, 'the layer came to its end');
  const { status, stderr } = cfsbridge(['--repo', own, 'oci', 'pull', 'image', '--socket', server.socket]);
  assert.equal(status, 1, stderr);
  isEmpty(own);
  assert.ok(server.running);
  return 'content only, which ends with an error; nothing of it stays where it was pulled to';
});

attack('changes a file of a layer in a repository that root serves over varlink', { skip }, async (t) => {
  const { folder, repository, diffId, size, own } = changed(t);
  await using server = await AttackedServer.start(folder, ['varlink']);
  using client = new VarlinkConnection(await connect(server.socket));
  const { fds } = await client.call(ociMethods.GetLayer, {
    handle: await openHandle(client, repository),
    params: { diff_id: diffId, consumer_has_cap_dac_override: true },
  });
  const [stream, directory] = fds;
  assert.ok(
    fstatSync(directory!.number).isCharacterDevice(),
    'the objects were handed out, which may change after they were hashed',
  );
  const sent = readFileSync(stream!.number);
  fds.forEach((fd) => fd.close());
  assert.ok(sent.includes('CONTENT 7 ') && sent.length < size, 'the layer came to its end');
  await assert.rejects(
    client.call(ociMethods.ComputeId, {
      handle: await openHandle(client, repository),
      image: 'image',
      bootable: false,
    }),
    /expected|another|digest/i,
  );
  for (const words of [
    ['oci', 'copy', 'image', '--from', repository, '--name', 'copy'],
    ['oci', 'pull', 'image', '--from', repository],
  ]) {
    const { status, stderr } = cfsbridge(['--repo', own, ...words, '--socket', server.socket]);
    assert.equal(status, 1, stderr);
    isEmpty(own);
  }
  return 'content only, which ends early; nothing of it stays where it was copied to';
});

attack('changes a file of a layer in a repository that root copies to and from a service', { skip }, async (t) => {
  const { folder, repository, own } = changed(t);
  await using server = await AttackedServer.start(folder, ['varlink']);
  const { status, stderr } = cfsbridge([
    '--repo',
    repository,
    'oci',
    'copy',
    'image',
    '--to',
    own,
    '--socket',
    server.socket,
    '--name',
    'copy',
  ]);
  assert.equal(status, 1, stderr);
  assert.match(stderr, /is something else, and its owner is not to be believed/);
  isEmpty(own);
  return 'the layer is not sent to its end, and not stored';
});

attack('changes a file of a layer in a repository that root copies from', { skip }, (t) => {
  const { repository, own } = changed(t);
  for (const option of [[], ['--zerocopy']]) {
    const { status, stderr } = cfsbridge([
      '--repo',
      own,
      'oci',
      'copy',
      'image',
      '--from',
      repository,
      ...option,
      '--name',
      'copy',
    ]);
    assert.equal(status, 1, stderr);
    assert.match(stderr, /expected (sha256:)?[0-9a-f]{64}/);
    isEmpty(own);
  }
  return 'refused; nothing of it stays';
});

attack('changes a file of a right layer after root has copied it', { skip }, (t) => {
  const folder = mkdtempSync(join(fastFolder, 'hostile-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const { layout } = imageLayout(folder);
  const [theirs, own] = [join(folder, 'theirs'), join(folder, 'own')];
  for (const path of [theirs, own]) assert.equal(cfsbridge(['init', '--insecure', path]).status, 0);
  assert.equal(cfsbridge(['--repo', theirs, 'oci', 'pull', `oci:${layout}`, 'image']).status, 0);
  giveAway(theirs);
  const { status, stderr } = cfsbridge([
    '--repo',
    own,
    'oci',
    'copy',
    'image',
    '--from',
    theirs,
    '--zerocopy',
    '--name',
    'copy',
  ]);
  assert.equal(status, 0, stderr);
  const objects = spawnSync('grep', ['-rl', 'content 7 ', join(theirs, 'objects')], { encoding: 'utf8' })
    .stdout.trim()
    .split('\n');
  for (const object of objects) writeFileSync(object, 'evil');
  assert.equal(cfsbridge(['--repo', own, 'oci', 'fsck']).status, 0);
  return 'the objects were copied, and stay as they were';
});
