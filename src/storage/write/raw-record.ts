// Records of an index as the bytes they are: what a change does not touch stays as it is. That goes for members that
// nobody here has ever heard of, too.
import * as z from 'zod';
import { FormatError } from '../../errors.js';
import { goJson } from '../../spec/go-json.js';
import { parseJson } from '../read-file.js';

/** A member as it is written, key and all; text has one unit for each byte. */
interface Member {
  key: string;
  text: string;
}

type Values = Record<string, unknown>;

/** One record of an index. */
export class RawRecord {
  readonly #values: Values;
  /** As it was read, as long as it was not changed. */
  #bytes: Buffer;
  /** Once it was changed. */
  #members: Member[] | undefined;

  private constructor(values: Values, bytes: Buffer) {
    this.#values = values;
    this.#bytes = bytes;
  }

  /** One without members. */
  static empty(): RawRecord {
    return new RawRecord({}, Buffer.from('{}'));
  }

  /**
   * The records of an index.
   * @param bytes of the file; one that is empty, or says null, has none
   * @param file its name, for messages
   * @throws FormatError `BAD_JSON` when it is no list of objects
   */
  static parseList(bytes: Buffer, file: string): RawRecord[] {
    const values = bytes.length === 0 ? undefined : parseJson(bytes, listSchema, file);
    if (values === undefined) return [];
    const parts = partsOf(bytes);
    return values.map((value, index) => {
      if (!(value instanceof Object) || value instanceof Array)
        throw new FormatError('BAD_JSON', `${file}: record ${index} is not one`);
      return new RawRecord(value as Values, parts[index]!);
    });
  }

  /** The bytes of an index with these records. */
  static printList(records: readonly RawRecord[]): Buffer {
    const comma = Buffer.from(',');
    const parts = records.flatMap((record, index) => (index === 0 ? [record.#print()] : [comma, record.#print()]));
    return Buffer.concat([Buffer.from('['), ...parts, Buffer.from(']')]);
  }

  /** The value of a member; undefined when there is none. */
  get(key: string): unknown {
    return Object.hasOwn(this.#values, key) ? this.#values[key] : undefined;
  }

  /** All of it, parsed. */
  value(): unknown {
    return this.#values;
  }

  /**
   * Changes a member, or adds it.
   * @param value undefined removes it
   * @param order the keys of such records as they follow each other, for one that is added
   * @throws FormatError `BAD_JSON` where a key comes twice: of two values programs take different ones
   */
  set(key: string, value: unknown, order: readonly string[]): void {
    const members = (this.#members ??= this.#split());
    const at = members.findIndex((member) => member.key === key);
    if (value === undefined) {
      delete this.#values[key];
      if (at >= 0) members.splice(at, 1);
      return;
    }
    this.#values[key] = value;
    const text = goJson({ [key]: value } as Parameters<typeof goJson>[0]).toString('latin1');
    const member = { key, text: text.slice(1, -1) };
    if (at >= 0) {
      members[at] = member;
      return;
    }
    const later = order.slice(order.indexOf(key) + 1);
    const next = members.findIndex((candidate) => later.includes(candidate.key));
    members.splice(next < 0 ? members.length : next, 0, member);
  }

  #split(): Member[] {
    const members = partsOf(this.#bytes).map((part) => ({ key: keyOf(part), text: part.toString('latin1') }));
    const twice = members.find(({ key }, index) => members.findIndex((other) => other.key === key) !== index);
    if (twice !== undefined)
      throw new FormatError('BAD_JSON', `the record of ${String(this.get('id'))} has "${twice.key}" twice`);
    return members;
  }

  #print(): Buffer {
    if (this.#members === undefined) return this.#bytes;
    return Buffer.from(`{${this.#members.map(({ text }) => text).join(',')}}`, 'latin1');
  }
}

const listSchema = z
  .array(z.unknown())
  .nullable()
  .transform((list) => list ?? undefined);

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const SPACES = new Set([0x20, 0x09, 0x0a, 0x0d]);

function keyOf(member: Buffer): string {
  return JSON.parse(member.toString('utf8', 0, endOfString(member, 0))) as string;
}

/** What commas separate in the array or object that bytes are in JSON, each without the space around it. */
function partsOf(bytes: Buffer): Buffer[] {
  const parts: Buffer[] = [];
  let depth = 0;
  let start = 0;
  for (let at = 0; at < bytes.length; at++) {
    const byte = bytes[at]!;
    if (byte === QUOTE) {
      at = endOfString(bytes, at) - 1;
      continue;
    }
    // [ and {, ] and }
    const step = (byte & 0xdf) === 0x5b ? 1 : (byte & 0xdf) === 0x5d ? -1 : 0;
    if (step === 0 && byte !== COMMA) continue;
    if (step === 1 && depth === 0) start = at + 1;
    if (step < 1 && depth === 1) {
      const part = trimmed(bytes, start, at);
      if (part.length > 0) parts.push(part);
      start = at + 1;
    }
    depth += step;
  }
  return parts;
}

/** Behind the quote that ends a string. */
function endOfString(bytes: Buffer, begin: number): number {
  let at = begin + 1;
  while (bytes[at] !== QUOTE) at += bytes[at] === BACKSLASH ? 2 : 1;
  return at + 1;
}

function trimmed(bytes: Buffer, start: number, end: number): Buffer {
  while (start < end && SPACES.has(bytes[start]!)) start++;
  while (end > start && SPACES.has(bytes[end - 1]!)) end--;
  return bytes.subarray(start, end);
}
