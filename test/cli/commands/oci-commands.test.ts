import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { RecordedRepository, recorded, recordedLayer, recordedText } from '../../support/cli/recorded-repository.js';
import { runCli, runCliBytes } from '../../support/cli/run-cli.js';

const known = recorded.results.sha512.erofs_versions['1'];
let repository: RecordedRepository;
before(async () => void (repository = await RecordedRepository.create()));
after(() => repository[Symbol.asyncDispose]());

/** Standard output as bytes, one per character. The command must succeed and have nothing to say. */
function print(...args: string[]): string {
  const { status, stdout, stderr } = runCliBytes(['--repo', repository.path, ...args]);
  assert.equal(stderr.toString(), '');
  assert.equal(status, 0);
  return stdout.toString('latin1');
}

test('oci images lists what cfsctl lists', () => {
  assert.deepEqual(JSON.parse(print('oci', 'images', '--json')), known.oci_images);
  assert.match(
    Buffer.from(print('oci', 'images'), 'latin1').toString(),
    /│ t {4}┆ 06e092d76dd4 ┆ amd64 ┆ 2 {6}┆ 0 {4}│/,
  );
});

test('oci inspect prints the recorded JSON byte for byte', () => {
  assert.equal(print('oci', 'inspect', 't'), recordedText('inspect.sha512.v1.json'));
  assert.equal(print('oci', 'inspect', `@${recorded.manifest_digest}`), recordedText('inspect.sha512.v1.json'));
  assert.equal(print('oci', 'inspect', 't', '--manifest'), `${recordedText('manifest.json')}\n`);
  assert.equal(print('oci', 'inspect', 't', '--config'), `${recordedText('config.json')}\n`);
});

for (const { diff_id: diffId, layer_json: json } of recorded.results.sha512.layers)
  test(`oci layer ${diffId}: tar, dumpfile and description are those of cfsctl`, () => {
    const tar = Buffer.from(print('oci', 'layer', diffId), 'latin1');
    assert.equal(`sha256:${createHash('sha256').update(tar).digest('hex')}`, diffId);
    assert.equal(
      print('oci', 'layer', diffId, '--dumpfile'),
      recordedLayer(diffId, 'dump.sha512.txt').toString('latin1'),
    );
    assert.deepEqual(JSON.parse(print('oci', 'layer', diffId, '--json')), json);
  });

test('oci dump prints the recorded tree, by tag and by config', () => {
  assert.equal(print('oci', 'dump', 't'), recordedText('dump.sha512.txt'));
  assert.equal(print('oci', 'dump', `@${recorded.config_digest}`), recordedText('dump.sha512.txt'));
  assert.equal(
    print('oci', 'dump', 't', '--xattrs', 'keep-user-xattrs'),
    recordedText('dump-keep-user-xattrs.sha512.txt'),
  );
});

test('oci compute-id prints the recorded ids', () => {
  assert.equal(print('oci', 'compute-id', 't'), `${known.compute_id}\n`);
  assert.equal(
    print('oci', 'compute-id', 't', '--xattrs', 'keep-user-xattrs'),
    `${known.compute_id_keep_user_xattrs}\n`,
  );
  for (const version of ['0', '1', '2'] as const)
    assert.equal(
      print('--erofs-version', version, 'oci', 'compute-id', 't'),
      `${known.compute_id_with_erofs_version_override[version]}\n`,
    );
});

test('a stream digest that is given must be right', () => {
  const { status, stderr } = runCli(['--repo', repository.path, 'oci', 'compute-id', 't', '00'.repeat(64)]);
  assert.equal(status, 1);
  assert.match(stderr, /^Error: no stream of t has the fs-verity digest 00/);
});

test('cat prints streams by ref and by content identifier', () => {
  assert.equal(print('cat', 'refs/oci/t'), recordedText('manifest.json'));
  assert.equal(print('cat', `oci-config-${recorded.config_digest}`), recordedText('config.json'));
});

test('images lists named images', () => {
  const digest = known.images[0] ?? '';
  assert.deepEqual(JSON.parse(print('images', '--json')), { images: [{ name: 'web/alpha', digest }] });
  assert.ok(print('images').includes(digest.slice(0, 12)));
  assert.ok(!print('images').includes(digest));
  assert.ok(print('images', '--no-trunc').includes(digest));
});

test('tags come and go', () => {
  const name = 'registry.example/web:1%2F';
  assert.equal(print('oci', 'tag', recorded.manifest_digest, name), `Tagged ${recorded.manifest_digest} as ${name}\n`);
  assert.equal(print('oci', 'inspect', name, '--config'), `${recordedText('config.json')}\n`);
  assert.equal(print('oci', 'untag', name), `Removed tag ${name}\n`);
  const { status, stderr } = runCli(['--repo', repository.path, 'oci', 'untag', name]);
  assert.deepEqual([status, stderr], [1, `Error: there is no tag "${name}"\n`]);
});

test('oci fsck and fsck print what cfsctl printed, and see a damaged object', async () => {
  await using damaged = await RecordedRepository.create();
  const [status, ...lines] = known.oci_fsck;
  const clean = runCli(['--repo', damaged.path, 'oci', 'fsck']);
  assert.deepEqual(
    [clean.status, clean.stdout.replace(/\d+\/\d+ ok/, '')],
    [status, `${lines.join('\n')}\n`.replace(/\d+\/\d+ ok/, '')],
  );
  const layer = join(damaged.path, 'streams', `oci-layer-${recorded.diff_ids[0]}`);
  writeFileSync(layer, 'damaged');
  for (const command of [['fsck'], ['oci', 'fsck'], ['oci', 'fsck', 't']]) {
    const found = runCli(['--repo', damaged.path, ...command]);
    assert.equal(found.status, 1);
    assert.match(found.stdout, /^status: \d+ error\(s\)\n  - fsck: /m);
    assert.match(found.stderr, /^Error: (repository|OCI) integrity check failed\n$/);
    const json = runCli(['--repo', damaged.path, ...command, '--json']);
    assert.equal(json.status, 1);
    assert.equal((JSON.parse(json.stdout) as { ok: boolean }).ok, false);
  }
});

const refused: [string[], RegExp][] = [
  [['oci', 'inspect', 'nothing'], /^Error: there is no image "nothing"/],
  [['oci', 'layer', `sha256:${'0'.repeat(64)}`], /^Error: there is no layer sha256:0/],
  [['oci', 'tag', `sha256:${'0'.repeat(64)}`, 'x'], /^Error: there is no manifest sha256:0/],
  [['cat', '../meta.json'], /^Error: /],
  [['cat', 'refs/../../meta.json'], /^Error: /],
  [['mount', '../objects/00/11', '/mnt'], /^Error: /],
  [['mount', 'f'.repeat(128), '/mnt'], /^Error: image not found/],
  [['--hash', 'sha256', 'images'], /^Error: repository is configured for fsverity-sha512-12/],
  [['--require-verity', 'images'], /^Error: opening repository .*\n\nCaused by:\n {4}.*without fs-verity/],
];

for (const [args, message] of refused)
  test(`refused with status 1: cfsbridge ${args.join(' ').slice(0, 60)}`, () => {
    const { status, stdout, stderr } = runCli(['--repo', repository.path, ...args]);
    assert.deepEqual([status, stdout], [1, '']);
    assert.match(stderr, message);
  });
