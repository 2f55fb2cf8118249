// Signatures as cosign and podman attach them: an image under a tag that follows from the signed digest, each of whose
// layers is a signed statement, with the signature in an annotation.
import { SIGNATURES_LIMIT, STATEMENT_LIMIT } from '../../limits.js';
import { parseManifest, type Descriptor } from '../../spec/manifest.js';
import { readBlob } from '../blobs.js';
import { getManifest } from '../manifests.js';
import { RegistryError } from '../registry-error.js';
import type { RegistryRepository } from '../repository.js';
import { STATEMENT_TYPE, type SigstoreSignature } from './signature.js';

/**
 * The signatures attached to a manifest. Nothing about them is verified.
 * @throws RegistryError, HttpError, FormatError, DigestMismatchError
 */
export async function readAttachments(
  repository: RegistryRepository,
  digest: string,
  signal?: AbortSignal,
): Promise<SigstoreSignature[]> {
  let bytes: Buffer;
  try {
    ({ bytes } = await getManifest(repository, `${digest.replace(':', '-')}.sig`, signal));
  } catch (error) {
    if (error instanceof RegistryError && error.code === 'NOT_FOUND') return [];
    throw error;
  }
  return signaturesOf(bytes, (layer) => readBlob([repository], 'signed statement', layer, STATEMENT_LIMIT, { signal }));
}

/**
 * The signatures that a manifest of them lists. Nothing about them is verified.
 * @param manifest its bytes
 * @param read gets a statement, of at most `STATEMENT_LIMIT` bytes
 * @throws FormatError; what `read` throws
 */
export async function signaturesOf(
  manifest: Buffer,
  read: (statement: Descriptor) => Promise<Buffer>,
): Promise<SigstoreSignature[]> {
  const signatures: SigstoreSignature[] = [];
  for (const layer of parseManifest(manifest).layers.slice(0, SIGNATURES_LIMIT)) {
    const { mediaType, annotations } = layer;
    // Attestations lie beside them and may be large.
    if (mediaType !== STATEMENT_TYPE) continue;
    signatures.push({ kind: 'sigstore', mediaType, payload: await read(layer), annotations: annotations ?? {} });
  }
  return signatures;
}
