import { BridgeError } from '../../errors.js';
import { isErrno } from '../../fd/fd.js';

/** Does something with names. @throws BridgeError `GC_INCOMPLETE` when the file system does not let it */
export function orIncomplete<T>(work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (!isErrno(error, 'EROFS', 'EIO', 'EPERM', 'EACCES', 'ENOSPC')) throw error;
    throw new BridgeError(
      'GC_INCOMPLETE',
      `names could not be removed: ${error instanceof Error ? error.message : String(error)}; no object was removed`,
      { cause: error },
    );
  }
}
