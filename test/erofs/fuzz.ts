import assert from 'node:assert/strict';
import { FormatError } from '../../src/errors.js';
import { Dice } from '../support/images/random-dump.js';

/** One try may take this long; most take well below a millisecond. */
const MILLISECONDS = 1000;
/** What one try may leave for the garbage collector on top of what was there. */
const BYTES = 64 << 20;
/** Looking at memory takes longer than most tries. */
const MEMORY_EVERY = 50;

/**
 * Gives a parser many damaged versions of its input: it must accept them or throw a FormatError, and be quick about it.
 * @param samples valid inputs
 * @param words numbers and text worth putting in
 * @returns how many were refused
 */
export function fuzz(
  samples: readonly Buffer[],
  words: readonly Buffer[],
  count: number,
  parse: (input: Buffer) => void,
): number {
  let refused = 0;
  for (let seed = 1; seed <= count; seed += 1) {
    const dice = new Dice(seed);
    const input = mutate(dice.pick(samples), words, dice);
    const watch = seed % MEMORY_EVERY === 0;
    const memory = watch ? process.memoryUsage().rss : 0;
    const start = performance.now();
    try {
      parse(input);
    } catch (error) {
      assert.ok(error instanceof FormatError, `seed ${seed}: ${error instanceof Error ? error.stack : String(error)}`);
      refused += 1;
    }
    assert.ok(performance.now() - start < MILLISECONDS, `seed ${seed} took too long`);
    if (watch) assert.ok(process.memoryUsage().rss - memory < BYTES, `seed ${seed} took too much memory`);
  }
  return refused;
}

function mutate(sample: Buffer, words: readonly Buffer[], dice: Dice): Buffer {
  let bytes = Buffer.from(sample);
  for (let times = 1 + dice.roll(4); times > 0 && bytes.length > 0; times -= 1) {
    const at = dice.roll(bytes.length);
    const word = dice.pick(words);
    switch (dice.roll(6)) {
      case 0:
        bytes[at] = dice.roll(256);
        break;
      case 1:
        bytes[at]! ^= 1 << dice.roll(8);
        break;
      case 2:
        word.copy(bytes, at);
        break;
      case 3:
        bytes.copy(bytes, at, dice.roll(bytes.length), dice.roll(bytes.length));
        break;
      case 4:
        bytes = Buffer.concat([bytes.subarray(0, at), word, bytes.subarray(at)]);
        break;
      default:
        bytes =
          dice.roll(4) === 0
            ? bytes.subarray(0, at)
            : Buffer.concat([bytes.subarray(0, at), bytes.subarray(Math.min(bytes.length, at + 1 + dice.roll(64)))]);
    }
  }
  return bytes;
}
