import { BridgeError } from '../../errors.js';
import { VarlinkMethodError } from '../../rpc/varlink/varlink-error.js';
import { UnknownHandleError } from './handles.js';
import { ociInterface } from '../../rpc/contracts/oci.js';
import { ostreeInterface } from '../../rpc/contracts/ostree.js';
import { repositoryInterface } from '../../rpc/contracts/repository.js';

/** The reply of any of the interfaces to an error that its method did not foresee. */
export function internalError(error: unknown, method: string): VarlinkMethodError {
  const owner =
    [repositoryInterface, ostreeInterface].find(({ name }) => method.startsWith(`${name}.`)) ?? ociInterface;
  const meant = causesOf(error).find((cause) => cause instanceof VarlinkMethodError);
  if (meant !== undefined) return meant;
  if (error instanceof UnknownHandleError) return owner.error('InvalidHandle', { handle: error.handle });
  return owner.error('InternalError', { message: messageOf(error) });
}

/** An error with what caused it, outermost first. */
export function messageOf(error: unknown): string {
  const messages: string[] = [];
  for (const cause of causesOf(error)) {
    const message = cause instanceof Error ? cause.message : String(cause);
    // Errors that add a place repeat what they wrap.
    const said = cause instanceof BridgeError ? cause.reason : message;
    if (!messages.some((outer) => outer.includes(said))) messages.push(message);
  }
  return messages.join(': ');
}

const MOST_CAUSES = 8;

function causesOf(error: unknown): unknown[] {
  const causes: unknown[] = [];
  for (
    let cause = error;
    cause !== undefined && causes.length < MOST_CAUSES;
    cause = cause instanceof Error ? cause.cause : undefined
  )
    causes.push(cause);
  return causes;
}

/** @throws InvalidDigest unless `diffId` is the kind of digest layers have */
export function checkDiffId(diffId: string): void {
  if (!/^sha256:[0-9a-f]{64}$/.test(diffId))
    throw ociInterface.error('InvalidDigest', { message: `"${diffId}" is not sha256: and 64 hex digits` });
}
