// Entries of boot loaders. Source: UAPI Group, "Boot Loader Specification", type #1.
import { isUtf8 } from 'node:buffer';
import type { ByteString } from '../bytes.js';
import { FormatError } from '../errors.js';
import { namesImage, splitCommandLine } from './command-line.js';

const FILE_KEYS = new Set(['linux', 'initrd', 'efi']);

interface Field {
  key: string;
  value: ByteString;
  /** where the value begins in the line */
  at: number;
}

/** A text of lines with a key and a value each. */
export class LoaderEntry {
  readonly #lines: ByteString[];

  /** @throws FormatError `BOOT_ENTRY` for what is no UTF-8 */
  constructor(bytes: Buffer) {
    if (!isUtf8(bytes)) throw new FormatError('BOOT_ENTRY', 'a boot loader entry is not UTF-8 text');
    this.#lines = bytes.toString('latin1').split('\n');
    if (this.#lines.at(-1) === '') this.#lines.pop();
  }

  /** Paths of kernels, initial RAM disks and EFI programs, as they stand there. */
  files(): ByteString[] {
    return this.#lines
      .map(parseLine)
      .flatMap((field) => (field !== undefined && FILE_KEYS.has(field.key) ? [field.value] : []));
  }

  /** Lets each path be another one; undefined leaves it. */
  replaceFiles(replace: (path: ByteString) => ByteString | undefined): void {
    for (const [index, line] of this.#lines.entries()) {
      const field = parseLine(line);
      const path = field !== undefined && FILE_KEYS.has(field.key) ? replace(field.value) : undefined;
      if (field !== undefined && path !== undefined)
        this.#lines[index] = splice(line, field.at, field.at + field.value.length, path);
    }
  }

  /** Makes the kernel boot an image: the argument stands where another image was named, and no other is left. */
  nameImage(argument: ByteString): void {
    this.#replace(namesImage, argument);
  }

  /** Adds an argument. `key=value` takes the place of another value for the key, and a word that of itself. */
  addArgument(argument: ByteString): void {
    const equals = argument.indexOf('=');
    const key = argument.slice(0, equals + 1);
    this.#replace(equals < 0 ? (text) => text === argument : (text) => text.startsWith(key), argument, true);
  }

  toBytes(): Buffer {
    return Buffer.from(`${this.#lines.join('\n')}\n`, 'latin1');
  }

  #replace(isOld: (text: ByteString) => boolean, argument: ByteString, firstOnly = false): void {
    let placed = false;
    let options: number | undefined;
    for (const [index, line] of this.#lines.entries()) {
      const field = parseLine(line);
      if (field?.key !== 'options') continue;
      options ??= index;
      const old = splitCommandLine(field.value).filter(({ text }) => isOld(text));
      // From the end, so that places before stay right.
      for (const [i, { start, end }] of [...old.entries()].reverse()) {
        const current = this.#lines[index] as ByteString;
        if (i === 0 && !placed) this.#lines[index] = splice(current, field.at + start, field.at + end, argument);
        else if (!firstOnly)
          this.#lines[index] = splice(
            current,
            field.at + start,
            field.at + end + separator(current, field.at + end),
            '',
          );
      }
      placed ||= old.length > 0;
    }
    if (placed) return;
    if (options === undefined) this.#lines.push(`options ${argument}`);
    else this.#lines[options] += ` ${argument}`;
  }
}

function parseLine(line: ByteString): Field | undefined {
  const match = /^([^ \t\f\r]+)([ \t\f\r]+)(.*?)[ \t\f\r]*$/.exec(line);
  if (!match) return undefined;
  const [, key = '', space = '', value = ''] = match;
  return { key, value, at: key.length + space.length };
}

function splice(line: ByteString, start: number, end: number, text: ByteString): ByteString {
  return line.slice(0, start) + text + line.slice(end);
}

/** How many bytes of white space part an argument from the next. */
function separator(line: ByteString, end: number): number {
  return /^[ \t\f\r]*/.exec(line.slice(end))?.[0].length ?? 0;
}
