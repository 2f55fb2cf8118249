import { constants, fchmod, fsync } from 'node:fs';
import { promisify } from 'node:util';
import type { ByteString } from '../../bytes.js';
import { isErrno, openBeneath, type Fd } from '../../fd/fd.js';
import { writeAll } from '../../fd/write-all.js';
import { files } from '../../native.js';

const syncFile = promisify(fsync);
const setMode = promisify(fchmod);
const MODE = 0o600;

/** The name of a file. */
export interface FileName {
  dir: Fd;
  name: ByteString;
}

/**
 * Gives a file new content: others see all of the old or all of the new.
 * @param unfinished what it is called until then. The same name each time, which only the holder of a lock uses: what a
 *   process that died has left is written over
 * @throws an error with `code` of the system; the old content stays then
 */
export async function replaceFile(target: FileName, content: Buffer, unfinished: FileName): Promise<void> {
  removeIfThere(unfinished);
  try {
    const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL;
    using file = openBeneath(unfinished.dir, unfinished.name, flags, MODE);
    await setMode(file.number, MODE);
    await writeAll(file, content, 0);
    await syncFile(file.number);
    files.renameat2(unfinished.dir.number, unfinished.name, target.dir.number, target.name, 0);
  } catch (error) {
    removeIfThere(unfinished);
    throw error;
  }
}

/** Removes a file that need not be there. */
export function removeIfThere({ dir, name }: FileName): void {
  try {
    files.unlinkat(dir.number, name, 0);
  } catch (error) {
    if (!isErrno(error, 'ENOENT')) throw error;
  }
}
