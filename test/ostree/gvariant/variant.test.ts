import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { FormatError } from '../../../src/errors.js';
import { encodeVariant, variantOf, type VariantValue } from '../../../src/ostree/gvariant/encode.js';
import { parseType, type VariantType } from '../../../src/ostree/gvariant/type.js';
import { Variant } from '../../../src/ostree/gvariant/variant.js';
import { fixtureJson } from '../../support/fixtures.js';
import { fuzzVariants, unpack } from '../../support/gvariant.js';

type Recorded = boolean | number | string | Recorded[] | Readonly<Record<string, unknown>>;

interface Value {
  readonly type: string;
  readonly value: Recorded;
  readonly hex?: string;
  readonly sha256?: string;
  readonly tail?: string;
}

const { values } = fixtureJson<{ values: readonly Value[] }>('gvariant/values.json');
const damaged = fixtureJson<readonly { type: string; hex: string; normal: boolean }[]>('gvariant/damaged.json');
/** CFSBRIDGE_FUZZ says how many. */
const EXECUTIONS = Number(process.env['CFSBRIDGE_FUZZ'] ?? 20_000);
const ID = Buffer.from(Array.from({ length: 32 }, (_, i) => i));

/** An xattr of no bytes. */
const NESTED_NOTHING = '090000000000000000006100000100000002000000000000000019';

/** A value of the record, as `encodeVariant` takes it. */
function valueOf(type: VariantType, value: Recorded): VariantValue {
  if (typeof value === 'object' && !Array.isArray(value)) {
    if ('x' in value) return 'x'.repeat(Number(value['x']));
    if ('files' in value) {
      const files = Array.from({ length: Number(value['files']) }, (_, i) => [`f${`${i}`.padStart(3, '0')}`, ID]);
      return [files, Array.from({ length: Number(value['folders']) }, (_, i) => [`d${i}`, ID, ID])];
    }
    const { type: inner, value: content } = value as unknown as Value;
    return variantOf(inner, valueOf(parseType(inner), content));
  }
  if (!Array.isArray(value)) return type.kind === 'int64' ? BigInt(value as number) : value;
  return value.map((each, i) => valueOf(type.members[type.kind === 'tuple' || type.kind === 'entry' ? i : 0]!, each));
}

for (const [i, { type, value, hex, sha256, tail }] of values.entries())
  test(`value ${i}, of type ${type}, is written and read as GLib does`, () => {
    const bytes = encodeVariant(type, valueOf(parseType(type), value));
    if (hex === undefined) {
      assert.equal(bytes.toString('hex', bytes.length - 32), tail);
      assert.equal(createHash('sha256').update(bytes).digest('hex'), sha256);
    } else assert.equal(bytes.toString('hex'), hex);
    assert.deepEqual(encodeVariant(type, unpack(Variant.from(type, bytes))), bytes);
  });

test('of damaged values those are read and written again unchanged that GLib takes for normal', () => {
  let normal = 0;
  for (const { type, hex, normal: expected } of damaged) {
    // GLib takes nothing at all for the default value of any type; no program writes that.
    if (hex === '' || hex === NESTED_NOTHING) continue;
    const bytes = Buffer.from(hex, 'hex');
    let same: boolean;
    try {
      same = encodeVariant(type, unpack(Variant.from(type, bytes))).equals(bytes);
    } catch (error) {
      assert.ok(error instanceof FormatError, String(error));
      same = false;
    }
    // Object paths and signatures have rules of their own, which are no business of what reads ostree.
    if (!/[og]/.test(type)) assert.equal(same, expected, `${type} ${hex}`);
    if (same) normal++;
  }
  assert.ok(normal > 300);
});

const WRONG_TYPES = ['', 'a', 'q(', '(', ')', 'z', 'ss', '{s}', '{sss}', '{vs}', '{(s)s}', 'a{s', '(s}', 'A'];

for (const signature of WRONG_TYPES)
  test(`"${signature}" is no type`, () => assert.throws(() => parseType(signature), { code: 'OSTREE_GVARIANT' }));

test('types and values that are nested too deeply are refused', () => {
  assert.throws(() => parseType(`${'a'.repeat(100)}y`), { code: 'OSTREE_GVARIANT' });
  let variant = variantOf('y', 1);
  for (let i = 0; i < 50; i++) variant = variantOf('v', variant);
  assert.equal(unpackDepth(variant), 50);
  for (let i = 0; i < 50; i++) variant = variantOf('v', variant);
  assert.throws(() => unpackDepth(variant), { code: 'OSTREE_GVARIANT' });
});

function unpackDepth(variant: Variant): number {
  return variant.type.kind === 'variant' ? 1 + unpackDepth(variant.at(0)) : 0;
}

test('whatever bytes come, what is no value is an error that says so', () => {
  const { executions, values: read } = fuzzVariants(EXECUTIONS, 1);
  assert.equal(executions, EXECUTIONS);
  // Most are damaged, and some are not.
  assert.ok(read > EXECUTIONS / 40 && read < executions, `${read} of them were values`);
});
