// What cfsctl 0.9.4 made of the images of the small store, in terms of a pull's result.
import assert from 'node:assert/strict';
import { imageRefName } from '../../../src/oci/image/refs.js';
import type { PullResult } from '../../../src/oci/pull/types.js';
import type { Algorithm } from '../../../src/fsverity/object-id.js';
import { smallFile, type SmallImage } from '../../support/images/small-store.js';

interface Recorded {
  diff_ids: string[];
  results: Record<
    Algorithm,
    {
      layers: { diff_id: string; verity: string }[];
      erofs_versions: Record<'1', { pull_exit: number; config_stream: string; compute_id?: string; images: string[] }>;
    }
  >;
}

export function recorded(image: SmallImage): Recorded {
  return JSON.parse(smallFile(image, 'results.json').toString()) as Recorded;
}

/** The EROFS id (version 1) that an image must get; undefined where cfsctl cannot make one. */
function recordedErofs(image: SmallImage, algorithm: Algorithm): string | undefined {
  return recorded(image).results[algorithm].erofs_versions[1].compute_id;
}

/** Compares everything of a pull that does not depend on chance. */
export function assertAsRecorded(image: SmallImage, algorithm: Algorithm, pulled: PullResult): void {
  const { results, diff_ids } = recorded(image);
  const { layers, erofs_versions } = results[algorithm];
  const expected = new Map(layers.map(({ diff_id, verity }) => [diff_id, verity]));
  assert.deepEqual(
    pulled.layers.map(({ diffId }) => diffId),
    [...new Set(diff_ids)],
  );
  for (const { diffId, actual, stream } of pulled.layers) {
    assert.equal(actual, diffId);
    assert.equal(stream, expected.get(diffId), `stream of layer ${diffId}`);
  }
  assert.equal(pulled.manifestDigest, image.manifest_digest);
  const erofs = recordedErofs(image, algorithm);
  if (erofs === undefined) return;
  assert.equal(pulled.images.get(1), erofs, imageRefName({ version: 1, boot: false, keepUserXattrs: false }));
  // cfsctl takes docker images as artifacts and does not name an EROFS image in their config's stream.
  if (erofs_versions[1].images.length > 0)
    assert.equal(pulled.configStream, erofs_versions[1].config_stream, 'config stream');
}
