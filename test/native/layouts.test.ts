// What both languages say of the bytes between them is the same.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import * as layouts from '../../src/layouts.js';

const header = readFileSync(new URL('../../../native/base/layouts.h', import.meta.url), 'utf8').replace(/\/\/.*/g, '');

/** `DataBegin` and `kScanMtimeSec`, of `ScanAt`, as TypeScript has them. */
function member(name: string, of: string): string {
  const bare = name.replace(new RegExp(`^k${of.replace(/At$/, '')}`), '');
  return bare[0]!.toLowerCase() + bare.slice(1);
}

/** `ScanAt` as SCAN_AT. */
function constant(name: string): string {
  return name.replace(/(?<=[a-z])(?=[A-Z])/g, '_').toUpperCase();
}

const native = Object.fromEntries([
  ...[...header.matchAll(/enum (?:class )?(\w+)[^{]*\{([^}]*)\}/g)].map(([, name, members]) => [
    constant(name!),
    Object.fromEntries(
      [...members!.matchAll(/(\w+) = (-?\d+)/g)].map(([, one, number]) => [member(one!, name!), Number(number)]),
    ),
  ]),
  ...[...header.matchAll(/constexpr \w+ k(\w+) = (\w+);/g)].map(([, name, number]) => [
    constant(name!),
    BigInt(number!),
  ]),
]) as Record<string, unknown>;

test('src/layouts.ts and native/base/layouts.h say the same', () => {
  assert.deepEqual({ ...native }, { ...layouts });
  assert.ok(Object.keys(layouts).length >= 10);
});

test('the addon uses no numbers but these', () => {
  for (const path of ['ingest/pool_binding.cc', 'scan/scan_folder.cc', 'socket/part_binding.cc', 'socket/socket.cc'])
    assert.doesNotMatch(
      readFileSync(new URL(`../../../native/${path}`, import.meta.url), 'utf8'),
      /\b(?:66|71)\b|\benum\b/,
      path,
    );
});
