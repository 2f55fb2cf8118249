import { FormatError } from '../../errors.js';

/** An image that breaks the EROFS format or composefs's use of it, `offset` bytes from its start. */
export function imageError(message: string, offset: number): FormatError {
  return new FormatError('EROFS_IMAGE', message, { place: { offset } });
}
