import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { bytesOf } from '../../../src/bytes.js';
import { configContentId, layerContentId, manifestContentId } from '../../../src/repository/names.js';
import { initRepository } from '../../../src/repository/init.js';
import { Repository } from '../../../src/repository/repository.js';
import { writeTag } from '../../../src/repository/tags.js';
import { fixture, fixtureJson } from '../fixtures.js';
import { unpackSmallStore } from '../images/small-store.js';
import { filesBelow } from '../walk.js';

const image = 'cstor-small/images/alpha_v2';

/** What cfsctl printed about the image; see the README of the fixtures. */
export interface Recorded {
  manifest_digest: string;
  config_digest: string;
  diff_ids: string[];
  results: {
    sha512: {
      erofs_versions: {
        '1': {
          compute_id: string;
          compute_id_keep_user_xattrs: string;
          compute_id_with_erofs_version_override: Record<'0' | '1' | '2', string>;
          oci_images: { images: unknown[] };
          oci_fsck: [number, ...string[]];
          images: string[];
        };
      };
      layers: { diff_id: string; layer_json: unknown }[];
    };
  };
}

export const recorded = fixtureJson<Recorded>(`${image}/results.json`);

export function recordedText(name: string): string {
  return fixture(`${image}/${name}`).toString('latin1');
}

/** A layer's recorded files lie in a folder named after the first digits of its diff_id. */
export function recordedLayer(diffId: string, name: string): Buffer {
  return fixture(`cstor-small/layers/${diffId.replace('sha256:', '').slice(0, 16)}/${name}`);
}

/**
 * The repository that cfsctl made of one image with two layers, with the tag `t`, put together from its recorded
 * streams and image and from the files of the store it pulled from.
 */
export class RecordedRepository implements AsyncDisposable {
  private constructor(readonly path: string) {}

  static async create(): Promise<RecordedRepository> {
    const path = mkdtempSync(join(tmpdir(), 'cfsbridge-recorded-'));
    initRepository(path, { insecure: true });
    using repository = await Repository.open(path, { write: true });
    await putStoreFiles(repository);
    const put = (name: string): Promise<string> => repository.objects.put(fixture(`${image}/${name}`));
    await put('config.json');
    await put('manifest.json');
    for (const diffId of recorded.diff_ids)
      await repository.linkStream(
        layerContentId(diffId),
        await repository.objects.put(recordedLayer(diffId, 'splitstream.sha512')),
      );
    await repository.linkStream(
      configContentId(recorded.config_digest),
      await put('streams/sha512/config-v1.splitstream'),
    );
    await repository.linkStream(
      manifestContentId(recorded.manifest_digest),
      await put('streams/sha512/manifest-v1.splitstream'),
    );
    await repository.linkImage(await put('erofs/sha512/v1.erofs'));
    repository.writeRef('images', bytesOf('web/alpha'), recorded.results.sha512.erofs_versions['1'].images[0] ?? '');
    writeTag(repository, 't', recorded.manifest_digest);
    return new RecordedRepository(path);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    rmSync(this.path, { recursive: true });
  }
}

async function putStoreFiles(repository: Repository): Promise<void> {
  const store = unpackSmallStore();
  try {
    for (const path of filesBelow(join(store.graphroot, 'overlay'))) {
      const bytes = readFileSync(path);
      if (bytes.length > 64) await repository.objects.put(bytes);
    }
  } finally {
    store.remove();
  }
}
