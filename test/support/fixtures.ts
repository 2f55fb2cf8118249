import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { decompress } from 'zstd-napi';

const FIXTURES = new URL('../../../fixtures/', import.meta.url);

/** A recorded file; the larger ones are kept as `.zst`. */
export function fixture(path: string): Buffer {
  const plain = new URL(path, FIXTURES);
  return existsSync(plain) ? readFileSync(plain) : decompress(readFileSync(new URL(`${path}.zst`, FIXTURES)));
}

export function hasFixture(path: string): boolean {
  return existsSync(new URL(path, FIXTURES));
}

export function fixtureJson<T>(path: string): T {
  return JSON.parse(fixture(path).toString()) as T;
}

/** Names in a folder of recorded files. */
export function fixtureNames(path: string): string[] {
  return readdirSync(new URL(path, FIXTURES)).sort();
}
