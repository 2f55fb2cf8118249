import type { Repository } from '../../repository/repository.js';
import { writeTag } from '../../repository/tags.js';
import { manifestContentId, referrerRef, STREAMS } from '../../repository/names.js';
import type { Manifest } from '../../spec/manifest.js';

/**
 * Makes an image known whose manifest is stored: first as a referrer of the image it says it belongs to (a signature,
 * an SBOM), whether that is here or not, then by its tag. Afterwards no power failure takes them back.
 * @param digest of the manifest
 * @param tag none when undefined
 */
export async function publish(
  repository: Repository,
  manifest: Manifest,
  digest: string,
  tag: string | undefined,
): Promise<void> {
  const referrer =
    manifest.subject &&
    repository.writeRef(STREAMS, referrerRef(manifest.subject.digest, digest), manifestContentId(digest));
  const tagged = tag !== undefined && writeTag(repository, tag, digest);
  if (referrer || tagged) await repository.sync();
}
