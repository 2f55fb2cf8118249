import assert from 'node:assert/strict';
import { readdirSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { runCli } from '../../support/cli/run-cli.js';
import { initRepository } from '../../../src/repository/init.js';
import { newFolder, newLayout, sha256, tarOf } from '../../support/images/source-layout.js';

const TAR = tarOf({ file: Buffer.alloc(5000, 'content '), small: 'x' });

test('an image goes from a folder into a repository and on into another one', (t) => {
  const layout = newLayout(t);
  const image = layout.image([{ tar: TAR, blob: gzipSync(TAR) }]);
  const { digest } = image;
  layout.publish({ it: image });
  const [first, second] = [join(newFolder(t), 'first'), join(newFolder(t), 'second')];
  initRepository(first, { insecure: true, algorithm: 'sha512' });
  initRepository(second, { insecure: true, algorithm: 'sha256' });
  const pulled = runCli(['--repo', first, 'oci', 'pull', `oci:${layout.path}:it`]);
  assert.equal(pulled.status, 0, pulled.stderr);
  assert.match(
    pulled.stdout,
    new RegExp(
      `^manifest ${digest}\n(.*\n)*tagged   oci:${layout.path}:it\nobjects  1 new \\+ 0 already present objects; ` +
        '4.88 KiB stored, .* inlined\n$',
    ),
  );
  const copied = runCli(['--repo', second, 'oci', 'copy', `@${digest}`, '--from', first, '--name', 'web']);
  assert.equal(copied.status, 0, copied.stderr);
  const [said, manifest, , config] = copied.stdout.split('\n');
  assert.equal(said, `Copied image @${digest} from ${first} to destination repo, tagged as web`);
  assert.equal(manifest, `Manifest digest: ${digest}`);
  assert.match(config ?? '', /^Config digest:   sha256:/);
  assert.equal(runCli(['--repo', second, 'oci', 'fsck']).status, 0);
});

const failures: [what: string, args: (folder: string) => string[], status: number, message: RegExp][] = [
  ['a transport that is not known', () => ['oci', 'pull', 'ostree:debian'], 1, /oci-archive:.*docker:.*skopeo copy/],
  ['a registry without slashes', () => ['oci', 'pull', 'docker:debian'], 1, /lacks two slashes: docker:\/\/debian/],
  [
    'an option of registries for a folder',
    (folder) => ['oci', 'pull', '--no-creds', `oci:${folder}`],
    2,
    /'--no-creds' is about registries; it needs an image with docker: or registry:/,
  ],
  [
    'an archive that is a folder',
    (folder) => ['oci', 'pull', `oci-archive:${folder}`],
    1,
    /^Error: \S+ is no archive: it is not a regular file/,
  ],
  ['a folder that is not there', (folder) => ['oci', 'pull', `oci:${folder}/nothing`], 1, /no folder/],
  [
    'a copy from nowhere',
    (folder) => ['oci', 'copy', 'x', '--from', `${folder}/nothing`],
    1,
    /opening source repository/,
  ],
  ['a copy without --from', () => ['oci', 'copy', 'x'], 2, /--from/],
  ['a layer without a digest', () => ['oci', 'import-layer', 'debian'], 2, /sha256:/],
];
for (const [what, args, status, message] of failures) {
  test(`${what} ends with status ${status} and says why`, (t) => {
    const folder = newFolder(t);
    initRepository(join(folder, 'repository'), { insecure: true });
    const answer = runCli(['--repo', join(folder, 'repository'), ...args(folder)]);
    assert.equal(answer.status, status);
    assert.match(answer.stderr, message);
    assert.equal(answer.stdout, '');
  });
}

test('a layer on standard input gets its name only when it has its digest', (t) => {
  const repository = join(newFolder(t), 'repository');
  initRepository(repository, { insecure: true });
  const wrong = runCli(['--repo', repository, 'oci', 'import-layer', sha256(Buffer.from('other')), 'name'], {
    input: TAR,
  });
  assert.equal(wrong.status, 1);
  assert.match(wrong.stderr, new RegExp(sha256(TAR)));
  const cut = runCli(['--repo', repository, 'oci', 'import-layer', sha256(TAR), 'name'], {
    input: TAR.subarray(0, 2000),
  });
  assert.equal(cut.status, 1);
  assert.deepEqual(readdirSync(repository).includes('streams'), false);
  const right = runCli(['--repo', repository, 'oci', 'import-layer', sha256(TAR), 'name'], { input: TAR });
  assert.equal(right.status, 0, right.stderr);
  assert.match(right.stdout, /^sha512:[0-9a-f]{128}\n$/);
  assert.equal(readlinkSync(join(repository, 'streams/refs/name')), `../oci-layer-${sha256(TAR)}`);
  const again = runCli(['--repo', repository, 'oci', 'import-layer', sha256(TAR)], { input: Buffer.alloc(0) });
  assert.equal(again.stdout, right.stdout);
});
