import type { ByteString } from '../bytes.js';
import { TAR_DIFF_OPERATION } from './tar-diff-format.js';

/**
 * The start of an operation: its code and number. For data, addData and zstdDict as many bytes have to follow as the
 * number says.
 * @param number 0 to 2^53-1
 */
function operation(code: number, number: number): Buffer {
  const bytes = [code];
  let rest = number;
  for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) bytes.push((rest % 0x80) | 0x80);
  bytes.push(rest);
  return Buffer.from(bytes);
}

/** The operations of a patch as bytes, which are to be compressed; what they do is told in tar-diff-format.ts. */
export const tarDiffOperations = {
  open: (name: ByteString): Buffer =>
    Buffer.concat([operation(TAR_DIFF_OPERATION.open, name.length), Buffer.from(name, 'latin1')]),
  copy: (length: number): Buffer => operation(TAR_DIFF_OPERATION.copy, length),
  seek: (position: number): Buffer => operation(TAR_DIFF_OPERATION.seek, position),
  /** so many bytes have to follow */
  data: (length: number): Buffer => operation(TAR_DIFF_OPERATION.data, length),
  /** so many bytes have to follow */
  addData: (length: number): Buffer => operation(TAR_DIFF_OPERATION.addData, length),
  /** so many bytes have to follow */
  zstdDict: (length: number): Buffer => operation(TAR_DIFF_OPERATION.zstdDict, length),
};
