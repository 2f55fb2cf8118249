// The judge is skopeo: fixtures/image-proxy/README.md says how its answers were recorded.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FormatError } from '../../src/errors.js';
import { ociConfig, ociManifest } from '../../src/spec/oci-form.js';
import { fixtureJson } from '../support/fixtures.js';

interface Recorded {
  config: string;
  full?: string;
  runtime?: string;
  error?: string;
}

const recorded = fixtureJson<Recorded[]>('image-proxy/configs.json');

test('configs come out as from skopeo, byte for byte, or are refused as there', () => {
  assert.ok(recorded.length >= 20);
  for (const { config, full, runtime, error } of recorded) {
    if (error !== undefined) {
      assert.throws(() => ociConfig(Buffer.from(config)), FormatError, config);
      continue;
    }
    const made = ociConfig(Buffer.from(config));
    assert.deepEqual([made.full.toString(), made.runtime.toString()], [full, runtime], config);
  }
});

test("a manifest of docker's gets OCI's types, and one with an unknown type is refused", () => {
  const digest = `sha256:${'0'.repeat(64)}`;
  const layer = (mediaType: string) => ({ mediaType, digest, size: 5, urls: undefined });
  const made = JSON.parse(
    ociManifest([layer('application/vnd.docker.image.rootfs.diff.tar.gzip')], Buffer.from('{}')).toString(),
  ) as { layers: object[]; config: { size: number } };
  assert.deepEqual(made.layers, [{ mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip', digest, size: 5 }]);
  assert.equal(made.config.size, 2);
  assert.throws(() => ociManifest([layer('text/plain')], Buffer.from('{}')), /Unknown media type during manifest/);
});
