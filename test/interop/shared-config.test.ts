import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { openImage } from '../../src/oci/image/image.js';
import { imageRefs } from '../../src/oci/image/refs.js';
import { writeImage } from '../../src/oci/pull/write-image.js';
import { Repository } from '../../src/repository/repository.js';
import { writeTag } from '../../src/repository/tags.js';
import { RecordedRepository } from '../support/cli/recorded-repository.js';

const cfsctl = join(process.env['CFSBRIDGE_PEERS'] ?? '/var/tmp/peers', 'bin/cfsctl');
const skip = existsSync(cfsctl) ? false : 'cfsctl is not there; scripts/peers.sh installs it';

test('an image survives cfsctl gc after another one replaced the config they share and went away', {
  skip,
}, async () => {
  await using recorded = await RecordedRepository.create();
  const ask = (...args: string[]): string => {
    const { status, stdout, stderr } = spawnSync(cfsctl, ['--repo', recorded.path, ...args], { encoding: 'utf8' });
    assert.equal(status, 0, `${args.join(' ')}: ${stderr}`);
    return stdout;
  };
  {
    using repository = await Repository.open(recorded.path, { write: true });
    const first = await openImage(repository, 't');
    const { configStream } = first;
    const [erofs = ''] = imageRefs(configStream.namedRefs).values();
    const manifest = Buffer.from(JSON.stringify({ ...first.manifest, annotations: { other: 'yes' } }));
    const images = new Map([['composefs.image.boot.v1', erofs]]);
    const other = await writeImage(repository, {
      manifest,
      config: configStream.bytes,
      layers: configStream.namedRefs,
      images,
    });
    assert.notEqual(other.configStream, configStream.stream);
    writeTag(repository, 'other', other.manifestDigest);
  }
  const before = ask('oci', 'inspect', 't');
  ask('oci', 'fsck');
  ask('oci', 'untag', 'other');
  ask('gc');
  assert.equal(ask('oci', 'inspect', 't'), before);
  ask('oci', 'fsck');
});
