import type { RegistryReference } from '../../spec/reference.js';
import type { Surroundings } from '../../storage/containers-config.js';
import type { RegistryRepository } from '../repository.js';
import { readAttachments } from './attachments.js';
import { readExtension } from './extension.js';
import { readLookaside } from './lookaside.js';
import { signaturePlaces } from './registries-d.js';
import type { Signature } from './signature.js';

export interface RegistrySignatures {
  repository: RegistryRepository;
  /** the image as it is called there, which is another name at a mirror */
  reference: RegistryReference;
  /** sha256:… of the manifest */
  digest: string;
  surroundings: Surroundings;
  /** read instead of the folders of registries.d */
  registriesDir?: string | undefined;
  signal?: AbortSignal | undefined;
}

/**
 * All signatures of an image in a registry, as skopeo and podman see them: those that the registry itself has, else
 * those of the lookaside place, and where registries.d says so those attached in the registry.
 * @throws NotFoundError, FormatError, RegistryError, HttpError, DigestMismatchError; BridgeError `POLICY`
 */
export async function registrySignatures({
  repository,
  reference,
  digest,
  surroundings,
  registriesDir,
  signal,
}: RegistrySignatures): Promise<Signature[]> {
  const { lookaside, attachments } = signaturePlaces(reference, surroundings, registriesDir);
  const kept = (await repository.givesSignatures(signal))
    ? await readExtension(repository, digest, signal)
    : await readLookaside(lookaside, reference.path, digest, repository.client, { signal });
  return attachments ? [...kept, ...(await readAttachments(repository, digest, signal))] : kept;
}
