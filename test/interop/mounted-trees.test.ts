import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { SharedFolder, succeed, whyNoStore } from './peers.js';
import { program } from './processes.js';
import { makeRepository, pullHere } from './repositories.js';

function whyNoMounts(): string | false {
  const known = readFileSync('/proc/filesystems', 'utf8');
  const missing = ['erofs', 'overlay'].filter((name) => !known.includes(`\t${name}\n`));
  return missing.length > 0 && `the kernel has no ${missing.join(' and no ')}`;
}

describe('a mounted image shows what podman shows', { skip: whyNoStore() || whyNoMounts() }, () => {
  let folder: SharedFolder;
  let repository: string;
  before(() => {
    folder = new SharedFolder();
    repository = makeRepository(join(folder.path, 'repository'), 'sha256');
  });
  after(() => folder[Symbol.dispose]());

  for (const [image, most] of [
    ['mid', 5000],
    ['base', 9000],
  ] as const)
    test(`${image}: by mount.composefs, cfsctl and us`, async () => {
      const { images } = await pullHere(repository, image, { name: image });
      const [erofs = ''] = [...images.values()];
      // Mounts go away with the namespace, whatever happens.
      const output = succeed('unshare', [
        '--mount',
        '--propagation',
        'private',
        process.execPath,
        program('mounted-trees'),
        folder.path,
        repository,
        image,
        erofs,
      ]);
      const { names, ...mounts } = JSON.parse(output) as Record<string, unknown>;
      assert.ok(Number(names) > most, `${String(names)} names`);
      const same = { count: 0, first: [] };
      assert.deepEqual(mounts, { 'mount.composefs': same, cfsbridge: same, 'cfsbridge oci': same, cfsctl: same });
    });
});
