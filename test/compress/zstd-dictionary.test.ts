import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { FRAME_HEAD_LENGTH, frameWindow, ZstdDictionary } from '../../src/compress/zstd-dictionary.js';
import { FormatError } from '../../src/errors.js';
import { Fd } from '../../src/fd/fd.js';
import { dictionaryFrame } from '../support/dictionary-frame.js';

const HAS_ZSTD = spawnSync('zstd', ['--version']).status === 0;
const NO_ZSTD = HAS_ZSTD ? false : 'there is no program zstd';

async function collect(blocks: AsyncIterable<Buffer>): Promise<Buffer> {
  const all: Buffer[] = [];
  for await (const block of blocks) all.push(block);
  return Buffer.concat(all);
}

async function decompress(dictionary: ZstdDictionary, frame: Buffer, piece = frame.length): Promise<Buffer> {
  using reader = dictionary.reader(29);
  const parts: Buffer[] = [];
  for (let at = 0; at < frame.length; at += piece)
    parts.push(await collect(reader.read(frame.subarray(at, at + piece))));
  assert.ok(reader.ended);
  return Buffer.concat(parts);
}

describe('a zstd frame with a dictionary', () => {
  const OLD = randomBytes(3_000_000);
  const SOURCES: readonly [what: string, source: Buffer, notWithZstd?: string][] = [
    ['a file', OLD],
    [
      'a file that looks like a trained dictionary',
      Buffer.concat([Buffer.from('37a430ec', 'hex'), OLD]),
      'zstd takes it for one',
    ],
    ['an empty file', Buffer.alloc(0)],
  ];
  const NEW = Buffer.concat([OLD.subarray(1_000_000), Buffer.from('new'), OLD.subarray(0, 1_000_000)]);
  let folder: string;
  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'zstd-'));
  });
  after(() => rmSync(folder, { recursive: true, force: true }));

  async function dictionaryOf(content: Buffer): Promise<ZstdDictionary> {
    const path = join(folder, 'old');
    writeFileSync(path, content);
    using fd = new Fd(openSync(path, 'r'));
    return await ZstdDictionary.ofFile(fd, content.length);
  }

  for (const [what, source, notWithZstd] of SOURCES) {
    it(`that is ${what} is as the program zstd makes it`, { skip: notWithZstd ?? NO_ZSTD }, async () => {
      using dictionary = await dictionaryOf(source);
      writeFileSync(join(folder, 'new'), NEW);
      const patch = source.length > 0 ? [`--patch-from=${join(folder, 'old')}`] : [];
      const file = join(folder, 'new.zst');
      execFileSync('zstd', ['-qf', '--long=27', ...patch, join(folder, 'new'), '-o', file]);
      assert.ok((await decompress(dictionary, readFileSync(file), 1000)).equals(NEW));
    });

    it(`that is ${what} does not depend on how it is cut`, async () => {
      using dictionary = ZstdDictionary.ofBytes(source);
      const frame = dictionaryFrame(source, NEW);
      if (source.length > 0) assert.ok(frame.length < NEW.length * 0.7, `${frame.length} bytes`);
      for (const piece of [1000, frame.length]) assert.ok((await decompress(dictionary, frame, piece)).equals(NEW));
    });
  }

  it('has its window in its head', () => {
    const frame = dictionaryFrame(OLD, NEW);
    assert.equal(frameWindow(frame.subarray(0, 4)), undefined);
    assert.ok((frameWindow(frame.subarray(0, FRAME_HEAD_LENGTH)) ?? 0) >= NEW.length);
    assert.throws(() => frameWindow(Buffer.alloc(18)), FormatError);
  });

  it('is refused when it is damaged, has a larger window, or was made with another dictionary', async () => {
    using dictionary = ZstdDictionary.ofBytes(OLD);
    using other = ZstdDictionary.ofBytes(Buffer.alloc(10));
    const frame = dictionaryFrame(OLD, NEW);
    const refused = (error: unknown): boolean => error instanceof FormatError && error.code === 'COMPRESSION';
    await assert.rejects(decompress(other, frame), refused);
    await assert.rejects(decompress(dictionary, Buffer.alloc(100, 1)), refused);
    // A frame that says nothing of its content's size, with a window of 2^30 bytes.
    await assert.rejects(decompress(dictionary, Buffer.from('28b52ffd00a0010000', 'hex')), refused);
  });

  it('waits for more where it is cut, and passes over what comes after its end', async () => {
    using dictionary = ZstdDictionary.ofBytes(OLD);
    const frame = dictionaryFrame(OLD, NEW);
    using reader = dictionary.reader(29);
    await collect(reader.read(frame.subarray(0, -1)));
    assert.equal(reader.ended, false);
    await collect(reader.read(frame.subarray(-1)));
    assert.equal(reader.ended, true);
    assert.equal((await collect(reader.read(frame))).length, 0);
  });

  it('has no dictionary of a file that is shorter than it was', async () => {
    const path = join(folder, 'short');
    writeFileSync(path, 'short');
    using fd = new Fd(openSync(path, 'r'));
    await assert.rejects(ZstdDictionary.ofFile(fd, 10), { code: 'SIZE_MISMATCH' });
  });
});
