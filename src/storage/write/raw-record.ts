// Records of an index as the text they are: what a change does not touch stays as it is, byte for byte. That goes for
// members that nobody here has ever heard of, too.
import * as z from 'zod';
import { FormatError } from '../../errors.js';
import { goJson } from '../../spec/go-json.js';
import { parseJson } from '../read-file.js';

/** A member with its key, as it is written; text has one unit for each byte. */
interface Member {
  key: string;
  text: string;
}

/** One record of an index. */
export class RawRecord {
  readonly #members: Member[];
  /** As it was read, as long as it was not changed. */
  #text: string | undefined;

  private constructor(members: Member[], text?: string) {
    this.#members = members;
    this.#text = text;
  }

  /** One without members. */
  static empty(): RawRecord {
    return new RawRecord([]);
  }

  /**
   * The records of an index.
   * @param bytes of the file; one that is empty, or says null, has none
   * @param file its name, for messages
   * @throws FormatError `BAD_JSON` when it is no list of objects, or when a record repeats a key: of two values
   *   programs take different ones
   */
  static parseList(bytes: Buffer, file: string): RawRecord[] {
    if (bytes.length === 0 || parseJson(bytes, listSchema, file) === undefined) return [];
    return partsOf(bytes.toString('latin1'), '[').map((text) => {
      const members = partsOf(text, '{').map((member) => ({ key: keyOf(member), text: member }));
      if (new Set(members.map(({ key }) => key)).size < members.length)
        throw new FormatError('BAD_JSON', `${file}: a record has the same key twice`);
      return new RawRecord(members, text);
    });
  }

  /** The bytes of an index with these records. */
  static printList(records: readonly RawRecord[]): Buffer {
    return Buffer.from(`[${records.map((record) => record.#print()).join(',')}]`, 'latin1');
  }

  /** The value of a member; undefined when there is none. */
  get(key: string): unknown {
    const member = this.#members.find((candidate) => candidate.key === key);
    return member && parsed(`{${member.text}}`)[key];
  }

  /** All of it, parsed. */
  value(): unknown {
    return parsed(this.#print());
  }

  /**
   * Changes a member, or adds it.
   * @param value undefined removes it
   * @param order the keys of such records as they follow each other, for one that is added
   */
  set(key: string, value: unknown, order: readonly string[]): void {
    const at = this.#members.findIndex((member) => member.key === key);
    this.#text = undefined;
    if (value === undefined) {
      if (at >= 0) this.#members.splice(at, 1);
      return;
    }
    const text = goJson({ [key]: value } as Parameters<typeof goJson>[0]).toString('latin1');
    const member = { key, text: text.slice(1, -1) };
    if (at >= 0) {
      this.#members[at] = member;
      return;
    }
    const later = order.slice(order.indexOf(key) + 1);
    const next = this.#members.findIndex((candidate) => later.includes(candidate.key));
    this.#members.splice(next < 0 ? this.#members.length : next, 0, member);
  }

  #print(): string {
    return (this.#text ??= `{${this.#members.map(({ text }) => text).join(',')}}`);
  }
}

const listSchema = z
  .array(z.looseObject({}))
  .nullable()
  .transform((list) => list ?? undefined);

function parsed(text: string): Record<string, unknown> {
  return JSON.parse(Buffer.from(text, 'latin1').toString('utf8')) as Record<string, unknown>;
}

function keyOf(member: string): string {
  const [key = '""'] = STRING.exec(member) ?? [];
  return JSON.parse(Buffer.from(key, 'latin1').toString('utf8')) as string;
}

const STRING = /^"(?:[^"\\]|\\.)*"/s;
const TOKEN = /"(?:[^"\\]|\\.)*"|[[\]{},]/gs;

/** What commas separate in the array or object that a JSON text is, each without the space around it. */
function partsOf(text: string, bracket: '[' | '{'): string[] {
  const begin = text.indexOf(bracket) + 1;
  const inner = text.slice(begin);
  const parts: string[] = [];
  let depth = 0;
  let start = 0;
  for (const { 0: token, index } of inner.matchAll(TOKEN)) {
    if (token === '{' || token === '[') depth++;
    else if (token === '}' || token === ']') depth--;
    if (depth < 0 || (depth === 0 && token === ',')) {
      const part = inner.slice(start, index).trim();
      if (part !== '') parts.push(part);
      start = index + 1;
    }
    if (depth < 0) break;
  }
  return parts;
}
