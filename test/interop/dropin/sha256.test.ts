// Digests of the shorter kind are in names, links, streams and images, and in what is printed of them.
import assert from 'node:assert/strict';
import { imageCases } from './cases-image.js';
import { ociReadCases, ociWriteCases } from './cases-oci.js';
import { initCases, repositoryCases } from './cases-repository.js';
import { asCase, testCases, type Case } from './cases.js';

const lines = [
  'init --insecure',
  'init --insecure --ensure',
  'init --insecure --algorithm fsverity-sha256-12',
  'cat oci-config-$config',
  'gc',
  'gc -n -r oci-layer-$app --root $image',
  'images --no-trunc',
  'images --json',
  'fsck',
  '--hash sha512 images',
  'create-image $rootfs new',
  '--erofs-version 2 create-image $rootfs two',
  'compute-id $rootfs',
  '--hash sha512 compute-id $rootfs',
  'create-dumpfile $rootfs',
  'image-objects refs/web',
  'dump-files $image /usr',
  'import-image some/name',
  'oci inspect latest',
  'oci layer $base --json',
  'oci layer --dumpfile $base',
  'oci dump latest',
  'oci compute-id latest',
  'oci fsck',
  'oci import-layer $base the/base',
  'oci pull oci:$layout:first new',
  'oci pull oci:$layout:artifact new',
  'oci copy example/copy:1 --from $other --name new',
  'oci copy example/copy:1 --from $other --name new --zerocopy',
];

const all = [...initCases, ...repositoryCases, ...imageCases, ...ociReadCases, ...ociWriteCases].map(asCase);
const cases = lines.flatMap((line): Case[] => {
  const found = all.filter((one) => one.line === line && one.on !== 'missing');
  assert.ok(found.length > 0, line);
  return found;
});

testCases('everything with digests', cases, 'sha256');
