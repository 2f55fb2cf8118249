import assert from 'node:assert/strict';
import { test } from 'node:test';
import { waitBefore } from '../../src/http/wait.js';

const NOW = Date.parse('2026-01-01T00:00:00Z');

const WAITS: [tries: number, retryAfter: string | undefined, expected: number][] = [
  [1, undefined, 2000],
  [2, undefined, 4000],
  [5, undefined, 32_000],
  [9, undefined, 60_000],
  [1, '7', 7000],
  [3, '0', 0],
  [1, '86400', 60_000],
  [1, '9'.repeat(400), 60_000],
  [1, 'Thu, 01 Jan 2026 00:00:05 GMT', 5000],
  [1, 'Wed, 31 Dec 2025 00:00:00 GMT', 0],
  [2, 'soon', 4000],
  [1, '-5', 0],
];
for (const [tries, retryAfter, expected] of WAITS) {
  test(`try ${tries}, Retry-After: ${retryAfter?.slice(0, 40)}`, () =>
    assert.equal(waitBefore(tries, 2000, retryAfter, NOW), expected));
}
