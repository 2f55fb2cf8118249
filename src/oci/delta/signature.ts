import { BridgeError } from '../../errors.js';
import { SIGNATURES_LIMIT } from '../../limits.js';
import { problemWithSigstore } from '../../registry/policy/sigstore.js';
import { signaturesOf } from '../../registry/signatures/attachments.js';
import type { SigstoreSignature } from '../../registry/signatures/signature.js';
import { readSmallBlob, type Delta } from './delta.js';

/**
 * Makes sure that a key signed the manifest of the image that a delta makes. The signatures are those that came with
 * it, as `cosign sign` makes them.
 * @param key public, in PEM form
 * @throws BridgeError `DELTA_SIGNATURE` when none is of this key and about this manifest; FormatError `BAD_CONFIG` for
 *   the key; FormatError, DigestMismatchError
 */
export async function checkSignature(delta: Delta, key: string, signal: AbortSignal): Promise<void> {
  const signatures: SigstoreSignature[] = [];
  for (const blob of delta.signatures.slice(0, SIGNATURES_LIMIT)) {
    const manifest = await readSmallBlob('signature', blob, signal);
    const found = await signaturesOf(manifest, ({ digest }) => {
      const statement = delta.statements.get(digest);
      if (statement === undefined)
        throw new BridgeError('DELTA_SIGNATURE', `the delta lacks the signed statement ${digest}`);
      return readSmallBlob('signed statement', statement, signal);
    });
    signatures.push(...found);
  }
  const problem = await problemWithSigstore(signatures, [key], { manifest: delta.manifest });
  if (problem !== undefined)
    throw new BridgeError('DELTA_SIGNATURE', `nothing shows that the key signed what the delta makes: ${problem}`);
}
