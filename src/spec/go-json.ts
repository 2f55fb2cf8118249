// JSON as Go's encoding/json writes it: what is made of an image's documents anew has to be the same bytes, since
// digests are of bytes.

/** A value, with maps for objects whose members have to stay in their order, whatever they are called. */
type Written = string | number | boolean | null | readonly Written[] | ReadonlyMap<string, Written> | WrittenObject;
interface WrittenObject {
  readonly [name: string]: Written;
}

/** JSON with the characters escaped that Go escapes: those of HTML, and the line separators. */
export function goJson(value: Written): Buffer {
  return Buffer.from(
    write(value).replace(
      /[<>&\u2028\u2029]/g,
      (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
    ),
  );
}

/** What Go makes of text that is not Unicode. */
export function wellFormed(text: string): string {
  return text.replace(/\p{Surrogate}/gu, '\ufffd');
}

/** A map's members in the order in which Go writes them: that of their UTF-8. */
export function sortedMembers(object: object): [name: string, value: unknown][] {
  return Object.entries(object)
    .map(([name, value]): [string, unknown] => [wellFormed(name), value])
    .sort(([a], [b]) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
}

/**
 * A member as Go finds it for a field: of exactly its name, or else of the same letters in another case; of several the
 * last one.
 */
export function goMember(object: Readonly<Record<string, unknown>>, name: string): unknown {
  if (Object.hasOwn(object, name)) return object[name];
  const wanted = name.toLowerCase();
  return Object.entries(object).findLast(([key]) => key.toLowerCase() === wanted)?.[1];
}

function write(value: Written): string {
  if (value === null || typeof value !== 'object') return JSON.stringify(value);
  if (Array.isArray(value)) return `[${(value as readonly Written[]).map(write).join(',')}]`;
  const members = value instanceof Map ? [...(value as ReadonlyMap<string, Written>)] : Object.entries(value);
  return `{${members.map(([name, member]) => `${JSON.stringify(name)}:${write(member as Written)}`).join(',')}}`;
}

export type { Written };
