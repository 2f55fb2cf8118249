import assert from 'node:assert/strict';
import { FormatError } from '../../src/errors.js';
import { encodeVariant, variantOf, type VariantValue } from '../../src/ostree/gvariant/encode.js';
import { Variant } from '../../src/ostree/gvariant/variant.js';
import { fixtureJson } from './fixtures.js';
import { Random } from './random.js';

/** The value of any variant, as `encodeVariant` takes it. */
export function unpack(variant: Variant): VariantValue {
  switch (variant.type.kind) {
    case 'boolean':
      return variant.boolean();
    case 'number':
      return variant.number();
    case 'int64':
      return variant.bigint();
    case 'string':
      return variant.string();
    case 'variant':
      return variantOf(variant.at(0).type.signature, unpack(variant.at(0)));
    default:
      return Array.from(variant, unpack);
  }
}

/**
 * Reads recorded values with random damage: there must be a value, which is written again as it can be read again, or a
 * FormatError.
 */
export function fuzzVariants(executions: number, seed: number): { executions: number; values: number } {
  const { values } = fixtureJson<{ values: readonly { type: string; hex?: string }[] }>('gvariant/values.json');
  const samples = values.flatMap(({ type, hex }) => (hex === undefined ? [] : [{ type, hex }]));
  const random = new Random(seed);
  let read = 0;
  for (let i = 0; i < executions; i++) {
    const { hex } = samples[random.upTo(samples.length - 1)]!;
    // Now and then the bytes of one type are read as another.
    const { type } =
      random.upTo(9) === 0 ? samples[random.upTo(samples.length - 1)]! : samples.find((s) => s.hex === hex)!;
    const bytes = damage(Buffer.from(hex, 'hex'), random);
    try {
      const value = unpack(Variant.from(type, bytes));
      const written = encodeVariant(type, value);
      assert.deepEqual(encodeVariant(type, unpack(Variant.from(type, written))), written);
      read++;
    } catch (error) {
      if (!(error instanceof FormatError)) throw new Error(`${type} ${bytes.toString('hex')}`, { cause: error });
    }
  }
  return { executions, values: read };
}

function damage(bytes: Buffer, random: Random): Buffer {
  let changed = bytes;
  for (let i = random.upTo(3); i >= 0; i--) {
    const at = random.upTo(changed.length);
    switch (random.upTo(4)) {
      case 0:
        changed = Buffer.concat([changed.subarray(0, at), Buffer.of(random.upTo(255)), changed.subarray(at)]);
        break;
      case 1:
        changed = Buffer.concat([changed.subarray(0, at), changed.subarray(at + 1 + random.upTo(8))]);
        break;
      case 2:
        changed = changed.subarray(0, at);
        break;
      default:
        // Offsets are at the end.
        if (changed.length > 0) {
          changed = Buffer.from(changed);
          changed[random.upTo(1) === 0 ? random.upTo(changed.length - 1) : changed.length - 1] = random.upTo(255);
        }
    }
  }
  return changed;
}
