import { FormatError } from '../../errors.js';

/** The fields as composefs-dump(5) calls them, by number; xattrs follow them. */
const FIELDS = ['PATH', 'SIZE', 'MODE', 'NLINK', 'UID', 'GID', 'RDEV', 'MTIME', 'PAYLOAD', 'CONTENT', 'DIGEST'];

/** What is wrong with a line, in the C library's words. The reader of the lines says which line it is. */
export class DumpProblem extends FormatError {
  readonly field: string;

  /** @param field number of the field */
  constructor(reason: string, field: number) {
    super('DUMPFILE', reason);
    this.field = FIELDS[field] ?? 'xattr';
  }
}
