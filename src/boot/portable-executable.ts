// Sections of EFI programs. Source: Microsoft, "PE Format"; UAPI Group, "Unified Kernel Image", for what the sections
// are.
import { FormatError } from '../errors.js';

/** Reads a part of a file. @throws FormatError when the file ends before that */
export type ReadPart = (offset: number, length: number) => Buffer;

const DOS_STUB = 0x40;
const HEADER = 24;
const SECTION = 40;

/**
 * A section's bytes without the padding.
 * @param limit bytes that it may have at most
 * @returns undefined when there is none of this name
 * @throws FormatError `BOOT_ENTRY` for what is no EFI program
 */
export function peSection(read: ReadPart, name: string, limit: number): Buffer | undefined {
  const found = findSection(read, name);
  if (found === undefined) return undefined;
  if (found.length > limit)
    throw new FormatError(
      'BOOT_ENTRY',
      `section ${name} of an EFI program has ${found.length} bytes, at most ${limit} are read`,
    );
  return orBad(() => read(found.offset, found.length));
}

/** @throws as `peSection`, also for a section that the file does not have to its end */
export function hasPeSection(read: ReadPart, name: string): boolean {
  const found = findSection(read, name);
  if (found !== undefined && found.length > 0) orBad(() => read(found.offset + found.length - 1, 1));
  return found !== undefined;
}

function findSection(read: ReadPart, name: string): { offset: number; length: number } | undefined {
  return orBad(() => {
    const start = read(0, DOS_STUB).readUInt32LE(0x3c);
    const header = read(start, HEADER);
    if (header.toString('latin1', 0, 4) !== 'PE\0\0') throw notEfi();
    const count = header.readUInt16LE(6);
    const table = read(start + HEADER + header.readUInt16LE(20), count * SECTION);
    const wanted = name.padEnd(8, '\0');
    for (let at = 0; at < table.length; at += SECTION)
      if (table.toString('latin1', at, at + 8) === wanted)
        return { length: table.readUInt32LE(at + 8), offset: table.readUInt32LE(at + 20) };
    return undefined;
  });
}

function orBad<T>(read: () => T): T {
  try {
    return read();
  } catch (cause) {
    throw cause instanceof FormatError && cause.code === 'SHORT_FILE' ? notEfi(cause) : cause;
  }
}

function notEfi(cause?: unknown): FormatError {
  return new FormatError('BOOT_ENTRY', 'a file is not a whole EFI program', { cause });
}
