import { BridgeError } from '../../errors.js';
import { isErrno } from '../../fd/fd.js';

/**
 * What an error of the system means to whoever wrote into a store.
 * @param what was written
 */
export function writeError(error: unknown, what: string, graphroot: string): unknown {
  // Those of unpacking say where in the layer it was, and may be about the layer's source otherwise.
  if (error instanceof BridgeError && !isErrno(error, 'ENOSPC', 'EDQUOT')) return error;
  if (isErrno(error, 'ENOSPC', 'EDQUOT'))
    return new BridgeError(
      'NO_SPACE',
      `${what} does not fit into the store ${graphroot}, and nothing of it is kept; make room on that file system`,
      { cause: error },
    );
  if (isErrno(error, 'EROFS'))
    return new BridgeError('STORE_READ_ONLY', `the store ${graphroot} is on a file system that is read-only`, {
      cause: error,
    });
  if (isErrno(error, 'EACCES', 'EPERM'))
    return new BridgeError(
      'NO_PERMISSION',
      `not allowed to write into the store ${graphroot}; run as root, or as its owner inside "podman unshare"`,
      { cause: error },
    );
  return error;
}
