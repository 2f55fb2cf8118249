// Type strings of GVariant, as far as the serialised form depends on them: alignment, and size where all values have
// the same.
import { FormatError } from '../../errors.js';
import { GVARIANT_DEPTH_LIMIT, GVARIANT_TYPE_LIMIT } from '../../limits.js';

type VariantKind = 'boolean' | 'number' | 'int64' | 'string' | 'variant' | 'maybe' | 'array' | 'tuple' | 'entry';

export interface VariantType {
  /** the type string, `a{sv}` */
  readonly signature: string;
  readonly kind: VariantKind;
  /** 1, 2, 4 or 8 bytes */
  readonly alignment: number;
  /** bytes of every value; undefined where values differ */
  readonly fixedSize: number | undefined;
  /** what a tuple or entry is made of; the one type of elements of an array or maybe */
  readonly members: readonly VariantType[];
}

/** Kind, alignment and size (0: it varies). */
const BASIC: Readonly<Record<string, readonly [VariantKind, number, number]>> = {
  b: ['boolean', 1, 1],
  y: ['number', 1, 1],
  n: ['number', 2, 2],
  q: ['number', 2, 2],
  i: ['number', 4, 4],
  u: ['number', 4, 4],
  h: ['number', 4, 4],
  x: ['int64', 8, 8],
  t: ['int64', 8, 8],
  d: ['number', 8, 8],
  s: ['string', 1, 0],
  o: ['string', 1, 0],
  g: ['string', 1, 0],
  v: ['variant', 8, 0],
};

/**
 * Reads a type string of exactly one complete type.
 * @param signature such as `(a(say)a(sayay))`
 * @throws FormatError `OSTREE_GVARIANT` for anything else, or one that is nested too deeply
 */
export function parseType(signature: string): VariantType {
  if (signature.length > GVARIANT_TYPE_LIMIT) throw wrong(signature.slice(0, 40), 'is too long');
  const [type, end] = parseAt(signature, 0, 0);
  if (end !== signature.length) throw wrong(signature, 'is more than one type');
  return type;
}

/** Where a value of that alignment may begin, from `at` on. */
export function aligned(at: number, alignment: number): number {
  return (at + alignment - 1) & -alignment;
}

function parseAt(text: string, at: number, depth: number): [type: VariantType, end: number] {
  if (depth > GVARIANT_DEPTH_LIMIT) throw wrong(text, 'is nested too deeply');
  const letter = text[at] ?? '';
  const basic = BASIC[letter];
  if (basic !== undefined) {
    const [kind, alignment, size] = basic;
    return [{ signature: letter, kind, alignment, fixedSize: size === 0 ? undefined : size, members: [] }, at + 1];
  }
  if (letter === 'a' || letter === 'm') {
    const [element, end] = parseAt(text, at + 1, depth + 1);
    const kind = letter === 'a' ? 'array' : 'maybe';
    return [
      {
        signature: text.slice(at, end),
        kind,
        alignment: element.alignment,
        fixedSize: undefined,
        members: [element],
      },
      end,
    ];
  }
  if (letter === '(') return parseMembers(text, at, ')', depth);
  if (letter === '{') return parseMembers(text, at, '}', depth);
  throw wrong(text, `has no type at ${at}`);
}

function parseMembers(text: string, start: number, close: string, depth: number): [type: VariantType, end: number] {
  const members: VariantType[] = [];
  let at = start + 1;
  while (at < text.length && text[at] !== close) {
    const [member, end] = parseAt(text, at, depth + 1);
    members.push(member);
    at = end;
  }
  if (text[at] !== close) throw wrong(text, `has no ${close}`);
  if (close === '}' && (members.length !== 2 || members[0]!.members.length > 0 || members[0]!.kind === 'variant'))
    throw wrong(text, 'has an entry that is not a basic key and a value');
  const alignment = Math.max(1, ...members.map((member) => member.alignment));
  const kind = close === '}' ? 'entry' : 'tuple';
  const signature = text.slice(start, at + 1);
  return [{ signature, kind, alignment, fixedSize: sizeTogether(members, alignment), members }, at + 1];
}

function sizeTogether(members: readonly VariantType[], alignment: number): number | undefined {
  if (members.length === 0) return 1;
  let end = 0;
  for (const member of members) {
    if (member.fixedSize === undefined) return undefined;
    end = aligned(end, member.alignment) + member.fixedSize;
  }
  return aligned(end, alignment);
}

function wrong(signature: string, what: string): FormatError {
  return new FormatError('OSTREE_GVARIANT', `GVariant type "${signature.slice(0, 80)}" ${what}`);
}
