import { FormatError, NotFoundError } from '../../errors.js';
import { admission } from '../../registry/policy/policy.js';
import type { ImageSource } from './source.js';
import { TRANSPORTS, type OpenSourceOptions, type Transport } from './transports.js';

/** A reference taken apart at its first colon. */
export interface SplitReference {
  /** undefined when what stands before the colon is none that is known */
  transport: Transport | undefined;
  rest: string;
}

export function splitReference(reference: string): SplitReference {
  const colon = reference.indexOf(':');
  const name = reference.slice(0, Math.max(colon, 0));
  return {
    transport: Object.hasOwn(TRANSPORTS, name) ? TRANSPORTS[name] : undefined,
    rest: reference.slice(colon + 1),
  };
}

/** The transports, as references begin: `oci:, dir:`. @param inRegistry only those to registries */
export function transportList(inRegistry = false): string[] {
  return Object.entries(TRANSPORTS)
    .filter(([, transport]) => !inRegistry || transport.inRegistry)
    .map(([name]) => `${name}:`);
}

/** How references look, for people: `oci:DIR[:NAME]`. @param inRegistry only those to registries */
export function referenceForms(inRegistry = false): string[] {
  return Object.entries(TRANSPORTS)
    .filter(([, transport]) => !inRegistry || transport.inRegistry)
    .map(([name, { form }]) => `${name}:${form}`);
}

/**
 * Opens the image a reference of containers' tools names: `containers-storage:NAME`, `oci:DIR[:NAME]`,
 * `oci-archive:FILE[:NAME]`, `docker-archive:FILE[:NAME|:@POSITION]`, `dir:DIR`, `docker-daemon:NAME[:TAG]` or
 * `docker-daemon:ID`, or in a registry `docker://NAME` and `registry:NAME`.
 * @throws NotFoundError when there is no such transport or image; BridgeError `PLATFORM`, `AMBIGUOUS_IMAGE`,
 *   `FOREIGN_LAYER`; FormatError, DigestMismatchError for what is damaged; RegistryError, HttpError; BridgeError
 *   `POLICY`, `REGISTRY_BLOCKED`, `DAEMON`
 * @example
 * ```ts
 * import { openSource } from 'composefs-bridge';
 *
 * await using source = await openSource('oci:/srv/layout');
 * console.log(source.layers.length, source.canShare); // 1 false
 * ```
 */
export async function openSource(reference: string, options: OpenSourceOptions = {}): Promise<ImageSource> {
  const { transport, rest } = splitReference(reference);
  if (transport === undefined)
    throw new NotFoundError(
      `"${reference}" does not start with one of ${transportList().join(', ')}; of others, "skopeo copy ` +
        'TRANSPORT:NAME oci:DIR" makes one of these',
    );
  checkSlashes(reference, transport, rest);
  const { surroundings, onWarning } = options.registry ?? {};
  return transport.open(rest, {
    ...options,
    // A proxy has the policy decide itself. Who has no policy for what lies on this machine wants none.
    admit: transport.proxied ? undefined : admission(options, surroundings, transport.inRegistry && onWarning),
  });
}

/** Whether a reference is to an image in a registry. */
export function isRegistryReference(reference: string): boolean {
  return splitReference(reference).transport?.inRegistry === true;
}

/** What names an image in a registry, without its transport. @throws FormatError `BAD_REFERENCE` */
export function registryNameOf(reference: string): string {
  const { transport, rest } = splitReference(reference);
  if (transport !== undefined) checkSlashes(reference, transport, rest);
  return rest;
}

function checkSlashes(reference: string, { form }: Transport, rest: string): void {
  if (form.startsWith('//') && !rest.startsWith('//'))
    throw new FormatError(
      'BAD_REFERENCE',
      `"${reference}" lacks two slashes: ${reference.slice(0, reference.length - rest.length)}//${rest}`,
    );
}
