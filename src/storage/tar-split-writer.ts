import { isUtf8 } from 'node:buffer';
import type { ByteString } from '../bytes.js';
import { goJson } from '../spec/go-json.js';
import { TAR_SPLIT } from './tar-split-format.js';

/** What needs no escape in JSON, as Go writes it. */
const PLAIN = /^[\x20-\x7e]*$/;
const ESCAPED = /["\\<>&]/;

/** A line of a tar-split file, before and behind what is put in: base64 of bytes that the addon has. */
type Line = readonly [before: ByteString, behind: ByteString];

/** The lines of a tar-split file, in their order; see `tar-split-format.ts`. */
export class TarSplitWriter {
  #position = 0;

  /** For bytes of the tar that are no file's content; those up to a file's header end with it. */
  segment(): Line {
    return [TAR_SPLIT.segment, `"${this.#tail()}`];
  }

  /**
   * A file, folder, link or device, behind the segment with its header.
   * @param name as the tar spells it
   * @param size bytes of its content
   * @returns the line for its CRC-64, big endian; without content nothing is put in
   */
  file(name: ByteString, size: number): Line {
    const head = named(name);
    if (size === 0) return [`${head}${TAR_SPLIT.noPayload}`, this.#tail()];
    return [`${head}${TAR_SPLIT.size}${size}${TAR_SPLIT.payload}`, `"${this.#tail()}`];
  }

  #tail(): string {
    return `${TAR_SPLIT.position}${this.#position++}${TAR_SPLIT.end}\n`;
  }
}

function named(name: ByteString): ByteString {
  if (PLAIN.test(name) && !ESCAPED.test(name)) return `${TAR_SPLIT.file}${name}"`;
  const bytes = Buffer.from(name, 'latin1');
  if (!isUtf8(bytes)) return `${TAR_SPLIT.rawName}${bytes.toString('base64')}"`;
  return `${TAR_SPLIT.file}${goJson(bytes.toString('utf8')).toString('latin1').slice(1)}`;
}
