// Packs files of a folder of ours into a tar beside them. Nothing of time and owner goes in: the same files give the
// same tar.
import { constants, read } from 'node:fs';
import { promisify } from 'node:util';
import { bytesOf, type ByteString } from '../../../bytes.js';
import { openBeneath, type Fd } from '../../../fd/fd.js';
import { writeAll } from '../../../fd/write-all.js';
import { files } from '../../../native.js';
import { listDirectory } from '../../../repository/links.js';

const readAt = promisify(read);
const BLOCK = 512;
const COPIED_AT_ONCE = 1 << 20;
/** Octal digits of a size; larger ones are written in binary, as GNU's tar does. */
const OCTAL_SIZES = 8 ** 11;

/**
 * @param names in the folder, in the order of the tar; folders with all that is in them
 * @returns the tar's name in the folder
 */
export async function writeTar(folder: Fd, names: readonly ByteString[], signal: AbortSignal): Promise<ByteString> {
  const archive = bytesOf('archive');
  using out = openBeneath(folder, archive, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, 0o644);
  let at = 0;
  const put = async (bytes: Buffer): Promise<void> => {
    at += await writeAll(out, bytes, at);
  };
  const add = async (name: ByteString): Promise<void> => {
    signal.throwIfAborted();
    const { mode, size } = files.statBeneath(folder.number, name);
    if ((mode & constants.S_IFMT) === constants.S_IFDIR) {
      await put(header(`${name}/`, 0, '5', 0o755));
      for (const inner of listDirectory(folder, name)) await add(`${name}/${inner}`);
      return;
    }
    await put(header(name, size, '0', 0o644));
    using file = openBeneath(folder, name);
    const buffer = Buffer.allocUnsafeSlow(Math.min(COPIED_AT_ONCE, Math.max(size, 1)));
    for (let done = 0; done < size; ) {
      signal.throwIfAborted();
      const { bytesRead } = await readAt(file.number, buffer, 0, Math.min(buffer.length, size - done), done);
      if (bytesRead === 0) throw new Error(`a file became shorter while it was packed: ${name}`);
      await put(buffer.subarray(0, bytesRead));
      done += bytesRead;
    }
    await put(Buffer.alloc((BLOCK - (size % BLOCK)) % BLOCK));
  };
  for (const name of names) await add(name);
  await put(Buffer.alloc(2 * BLOCK));
  return archive;
}

/** @param name at most 100 bytes: digests are */
function header(name: ByteString, size: number, type: string, mode: number): Buffer {
  const block = Buffer.alloc(BLOCK);
  block.write(name, 0, 100, 'latin1');
  block.write(`${mode.toString(8).padStart(7, '0')}\0`, 100, 'latin1');
  block.write('0000000\x000000000\0', 108, 'latin1');
  if (size < OCTAL_SIZES) {
    block.write(`${size.toString(8).padStart(11, '0')}\0`, 124, 'latin1');
  } else {
    block[124] = 0x80;
    block.writeBigUInt64BE(BigInt(size), 128);
  }
  block.write('00000000000\0        ', 136, 'latin1');
  block.write(type, 156, 'latin1');
  block.write('ustar\x0000', 257, 'latin1');
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return block;
}
