import type { IdlType } from './idl.js';

/** What is wrong with a value: where, as in `params.diff_id` or `layers[3]`, and why. */
export interface Misfit {
  path: string;
  problem: string;
}

/**
 * Compares JSON with a type of the interface definition. Members that the type does not have are left alone, as
 * everywhere in varlink; null stands for an absent optional.
 * @param types the named types of the interface
 * @returns undefined when it fits
 */
export function findMisfit(
  type: IdlType,
  value: unknown,
  types: ReadonlyMap<string, IdlType>,
  path = '',
): Misfit | undefined {
  const wrong = (expected: string): Misfit => ({ path, problem: `${nameOf(value)} where ${expected} is due` });
  switch (type.kind) {
    case 'bool':
      return typeof value === 'boolean' ? undefined : wrong('a bool');
    case 'int':
      // Integers beyond 2^53 have lost digits in the JSON parser.
      return Number.isSafeInteger(value) ? undefined : wrong('an int');
    case 'float':
      return typeof value === 'number' ? undefined : wrong('a float');
    case 'string':
      return typeof value === 'string' ? undefined : wrong('a string');
    case 'any':
      return value === undefined ? wrong('a value') : undefined;
    case 'object':
      return isObject(value) ? undefined : wrong('an object');
    case 'enum':
      return typeof value === 'string' && type.values.has(value)
        ? undefined
        : wrong(`one of ${[...type.values].join(', ')}`);
    case 'optional':
      return value === undefined || value === null ? undefined : findMisfit(type.of, value, types, path);
    case 'array':
      return Array.isArray(value)
        ? first(value.entries(), ([index, item]) => findMisfit(type.of, item, types, `${path}[${index}]`))
        : wrong('an array');
    case 'dict':
      return isObject(value)
        ? first(Object.entries(value), ([key, item]) =>
            findMisfit(type.of, item, types, `${path}[${JSON.stringify(key)}]`),
          )
        : wrong('an object');
    case 'struct':
      if (!isObject(value)) return wrong('an object');
      return first(type.fields, ([name, field]) =>
        findMisfit(
          field,
          Object.hasOwn(value, name) ? value[name] : undefined,
          types,
          path === '' ? name : `${path}.${name}`,
        ),
      );
    case 'named':
      return findMisfit(types.get(type.name)!, value, types, path);
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function first<T>(items: Iterable<T>, find: (item: T) => Misfit | undefined): Misfit | undefined {
  for (const item of items) {
    const found = find(item);
    if (found !== undefined) return found;
  }
  return undefined;
}

function nameOf(value: unknown): string {
  if (value === undefined) return 'nothing';
  if (value === null) return 'null';
  return Array.isArray(value) ? 'an array' : `a ${typeof value}`;
}
