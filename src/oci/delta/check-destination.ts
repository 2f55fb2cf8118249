import { FormatError, NotFoundError } from '../../errors.js';
import { destinationForms, isRegistryDestination } from '../push/destination/open.js';
import { parseRepositoryName } from '../../spec/reference.js';

const TRANSPORTS = /^(?:docker|registry|oci|oci-archive):/;

/** Where deltas can be brought to, for people. */
export function deltaDestinationForms(): string[] {
  return [
    'docker://HOST/PATH',
    'registry:HOST/PATH',
    ...destinationForms().filter((form) => TRANSPORTS.test(form) && !isRegistryDestination(form)),
  ];
}

/**
 * What cannot be done is said before anything is done.
 * @throws NotFoundError for a transport that has no artifacts; FormatError `BAD_REFERENCE` for a tag or digest in a
 *   registry: a delta is found by the image that it makes, and a tag is most often that image's
 */
export function checkDeltaDestination(destination: string): void {
  if (!TRANSPORTS.test(destination))
    throw new NotFoundError(`"${destination}" does not look like one of ${deltaDestinationForms().join(', ')}`);
  if (!isRegistryDestination(destination)) return;
  const name = destination.replace(/^[a-z]+:(?:\/\/)?/, '');
  if (/@|:[^/]*$/.test(name))
    throw new FormatError(
      'BAD_REFERENCE',
      `"${destination}" has a tag or digest; a delta gets none: it is found by the image that it makes, in the ` +
        'repository that is named',
    );
  parseRepositoryName(name, destination);
}
