import { BridgeError, FormatError, NotFoundError } from '../../../errors.js';
import { isErrno } from '../../../fd/fd.js';
import { isStoreDestination, STORE_FORM } from '../../store/destination.js';
import type { Destination } from './destination.js';
import { DESTINATIONS, type DestinationOptions, type DestinationTransport } from './transports.js';

/** How destinations look, for people: `oci:DIR[:NAME]`. */
export function destinationForms(): string[] {
  return [...Object.entries(DESTINATIONS).map(([name, { form }]) => `${name}:${form}`), STORE_FORM];
}

/** Whether a destination is in a registry. */
export function isRegistryDestination(destination: string): boolean {
  return split(destination).transport?.inRegistry === true;
}

/**
 * Opens what a destination of containers' tools names: `docker://REF`, `oci:DIR[:NAME]`, `oci-archive:FILE[:NAME]`,
 * `dir:DIR`, `docker-archive:FILE[:NAME]`.
 * @throws NotFoundError when there is no such transport or folder; BridgeError `DESTINATION_EXISTS`; FormatError
 *   `BAD_REFERENCE`
 */
export async function openDestination(destination: string, options: DestinationOptions): Promise<Destination> {
  const { name, transport, rest } = split(destination);
  if (isStoreDestination(destination))
    throw new BridgeError(
      'UNSUPPORTED',
      `"${destination}" takes layers unpacked, and no blobs: an image comes into a containers-storage by pushToStore`,
    );
  if (transport === undefined)
    throw new NotFoundError(
      `"${destination}" does not look like one of ${destinationForms().join(', ')}; to others, "skopeo copy ` +
        'oci:DIR TRANSPORT:NAME" brings an image',
    );
  if (rest === '') throw new FormatError('BAD_REFERENCE', `"${destination}" names nothing`);
  if (transport.form.startsWith('//') && !rest.startsWith('//'))
    throw new FormatError('BAD_REFERENCE', `"${destination}" lacks two slashes: ${name}://${rest}`);
  try {
    return await transport.open(rest, options);
  } catch (cause) {
    if (!isErrno(cause, 'ENOENT') || !('syscall' in (cause as Error))) throw cause;
    throw new NotFoundError(`the folder that "${destination}" should come into is not there`, { cause });
  }
}

function split(destination: string): { name: string; transport: DestinationTransport | undefined; rest: string } {
  const colon = destination.indexOf(':');
  const name = destination.slice(0, Math.max(colon, 0));
  const transport = Object.hasOwn(DESTINATIONS, name) ? DESTINATIONS[name] : undefined;
  return { name, transport, rest: destination.slice(colon + 1) };
}
