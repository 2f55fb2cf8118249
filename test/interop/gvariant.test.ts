// Every kind of GVariant as the GLib of the Debian tree writes and reads it, the one that its ostree uses.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { copyFileSync } from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { encodeVariant, variantOf, type VariantValue } from '../../src/ostree/gvariant/encode.js';
import { parseType, type VariantType } from '../../src/ostree/gvariant/type.js';
import { Variant } from '../../src/ostree/gvariant/variant.js';
import { unpack } from '../support/gvariant.js';
import { Random } from '../support/random.js';
import { peerCommand, SharedFolder, whyNoPeers } from './peers.js';

const skip = whyNoPeers();
const script = fileURLToPath(new URL('../../../test/interop/glib-variants.py', import.meta.url));

/** A value as `encodeVariant` takes it, and in GVariant's text format. */
interface Both {
  readonly value: VariantValue;
  readonly text: string;
}

const INNER = ['u', 's', '(ys)', 'as', 'mt', 'a{sv}', '()', 'v'];
const TYPES = [
  ...['b', 'y', 'n', 'q', 'i', 'u', 'x', 't', 'd', 'h', 's', 'o', 'g', 'v'],
  ...['ay', 'an', 'at', 'ab', 'as', 'aay', 'aas', 'a()', 'a(ys)', 'a(ty)', 'ams', 'a{sv}', 'a{ut}', 'av', 'aaay'],
  ...['my', 'mt', 'ms', 'mms', 'mas', 'm()', 'm(ys)', 'mv'],
  ...[
    '()',
    '(y)',
    '(yt)',
    '(ty)',
    '(sy)',
    '(ys)',
    '(ss)',
    '(sss)',
    '(yst)',
    '(ayay)',
    '((y)(s))',
    '(mss)',
    '(()s)',
    '(tsy)',
  ],
  ...['{sv}', '{us}', '{ys}', '{sy}', '{tt}'],
  // Those of ostree: commit, dirtree, dirmeta, file headers, summary, index, delta's superblock and part, signed delta.
  ...['(a{sv}aya(say)sstayay)', '(a(say)a(sayay))', '(uuua(ayay))', '(uuuusa(ayay))', '(tuuuusa(ayay))'],
  ...['(a(s(taya{sv}))a{sv})', '(a{s(ayaaya{sv})}a{sv})', '(a{sv}tayay(a{sv}aya(say)sstayay)aya(uayttay)a(yaytt))'],
  ...['(a(uuu)aa(ayay)ayay)', '(yay)', '(taya{sv})', 'a{say}'],
];

function quoted(text: string): string {
  return `'${text.replace(/[\\']/g, '\\$&')}'`;
}

/** @param most of what a list or text has, at the outermost */
function valueOf(type: VariantType, random: Random, most: number): Both {
  const { signature, members } = type;
  switch (signature) {
    case 'b': {
      const value = random.upTo(1) === 1;
      return { value, text: `${value}` };
    }
    case 'x':
    case 't': {
      const value = BigInt(random.upTo(2 ** 31)) * BigInt(random.upTo(2 ** 20)) * (signature === 'x' ? -1n : 1n);
      return { value, text: `${value}` };
    }
    case 'd': {
      const value = random.upTo(1_000_000) / 8 - 50_000;
      return { value, text: value.toFixed(4) };
    }
    case 's': {
      const value = Array.from({ length: random.upTo(most) }, () => 'aZ é\\\'"€'[random.upTo(8)] ?? 'x').join('');
      return { value, text: quoted(value) };
    }
    case 'o':
      return { value: '/org/x', text: "'/org/x'" };
    case 'g':
      return { value: 'a{sv}(t)', text: "'a{sv}(t)'" };
    case 'v': {
      const inner = INNER[random.upTo(INNER.length - 1)]!;
      const { value, text } = valueOf(parseType(inner), random, Math.min(most, 3));
      return { value: variantOf(inner, value), text: `<@${inner} ${text}>` };
    }
  }
  if (type.kind === 'number') {
    const bits = { y: 8, n: 15, q: 16, i: 31, u: 32, h: 31 }[signature] ?? 8;
    const value = random.upTo(2 ** bits - 1);
    return { value, text: `${value}` };
  }
  const below = Math.min(most, 6);
  if (type.kind === 'maybe') {
    if (random.upTo(2) === 0) return { value: [], text: 'nothing' };
    const { value, text } = valueOf(members[0]!, random, most);
    return { value: [value], text: `just ${text}` };
  }
  const kinds = type.kind === 'array' ? Array.from({ length: random.upTo(most) }, () => members[0]!) : members;
  const children = kinds.map((member) => valueOf(member, random, type.kind === 'array' ? below : most));
  const values = children.map(({ value }) => value);
  const texts = children.map(({ text }) => text);
  if (type.kind === 'array') return { value: values, text: `[${texts.join(', ')}]` };
  if (type.kind === 'entry') return { value: values, text: `{${texts.join(', ')}}` };
  return { value: values, text: texts.length === 1 ? `(${texts[0]},)` : `(${texts.join(', ')})` };
}

/** A value that ends at a length where offsets become wider, or beside it. */
function sized(type: string, length: number): Both {
  const filled = 'x'.repeat(length);
  return type === 'as'
    ? { value: [filled, 'y'], text: `[${quoted(filled)}, 'y']` }
    : { value: [filled, 'y', 7n], text: `(${quoted(filled)}, 'y', 7)` };
}

function compare(t: TestContext, cases: readonly (readonly [type: string, both: Both])[]): void {
  using folder = new SharedFolder();
  copyFileSync(script, join(folder.path, 'variants.py'));
  const ours = cases.map(([type, { value }]) => encodeVariant(type, value));
  const input = cases
    .map(([type, { text }], i) => `${JSON.stringify([type, text, ours[i]!.toString('hex')])}\n`)
    .join('');
  const [program, ...args] = peerCommand('sid', ['python3', `${folder.inside}/variants.py`]);
  const { status, stdout, stderr } = spawnSync(program!, args, { input, encoding: 'utf8', maxBuffer: 1 << 28 });
  assert.equal(status, 0, stderr);
  const answers = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as [string, boolean, boolean]);
  assert.equal(answers.length, cases.length);
  for (const [i, [type, { text }]] of cases.entries()) {
    const [theirs, normal, same] = answers[i]!;
    const what = `${type} ${text.slice(0, 200)}`;
    assert.equal(ours[i]!.toString('hex'), theirs, what);
    assert.ok(normal && same, what);
    const bytes = Buffer.from(theirs, 'hex');
    assert.deepEqual(encodeVariant(type, unpack(Variant.from(type, bytes))), bytes, what);
  }
  t.diagnostic(`${cases.length} values of ${new Set(cases.map(([type]) => type)).size} types`);
}

test('GLib writes the same bytes, takes ours for normal, and reads the same of them', { skip }, (t) => {
  const random = new Random(20);
  const cases = TYPES.flatMap((type) =>
    [0, 1, 2, 5, 12, 40].flatMap((most) =>
      Array.from({ length: 8 }, () => [type, valueOf(parseType(type), random, most)] as const),
    ),
  );
  compare(t, cases);
});

test('so it is where offsets become wider', { skip }, (t) => {
  const near = (length: number): number[] => Array.from({ length: 16 }, (_, i) => length - 14 + i);
  const cases = [...near(255), ...near(65_535)].flatMap((length) =>
    ['as', '(sst)'].map((type) => [type, sized(type, length)] as const),
  );
  compare(t, cases);
});
