// Memory and threads run out at every place where the addon asks for some: its promises reject with a code that says
// so, the process lives, and the same call works as soon as there is enough.
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';

const PROGRAM = fileURLToPath(new URL('shortage.program.js', import.meta.url));
const SOURCE = fileURLToPath(new URL('../../../test/native/shortage.cc', import.meta.url));

const CALLS = [
  'put',
  'firstMissing',
  'unusable',
  'land',
  'submit, which links',
  'submit, which copies',
  'submit, of a stranger',
  'submit, which only hashes',
  'withdrawWrong',
  'listObjects',
  'checkObjects',
  'verityDigestOfFd',
  'scanFolder',
  'scanFolder, which stores',
  'sendParts',
  'pumpOpen and pumpRun',
  'a layer that is unpacked',
  'removeFiles',
  'a zstd frame with a dictionary',
  'a patch with frames',
  'a patch with added data',
  'openBeginnings',
  'gunzip',
  'syncfs',
  'sealFile',
  'filesystemTypes',
  'closeIfLocal',
  'pollStart and what is seen',
] as const;

/** Those that start threads of their own. The others have Node's. */
const THREADED: readonly string[] = [
  'submit, which links',
  'listObjects',
  'checkObjects',
  'scanFolder',
  'filesystemTypes',
  'closeIfLocal',
  'pollStart and what is seen',
];
/** Those that fewer threads can do, down to the one that does it anyway. */
const ALONE: readonly string[] = ['listObjects', 'checkObjects', 'scanFolder'];

interface Try {
  count: number;
  came: string;
  refused: number;
  after: string;
  open: string[];
}

describe('with too little', () => {
  let library: string;
  let folder: string;

  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'shortage-'));
    library = join(folder, 'shortage.so');
    execFileSync('g++', ['-std=c++20', '-O1', '-shared', '-fPIC', '-o', library, SOURCE, '-ldl']);
  });
  after(() => rmSync(folder, { recursive: true, force: true }));

  function tries(call: string, ...what: string[]): Try[] {
    const place = mkdtempSync(join(folder, 'run-'));
    const { status, signal, stdout, stderr } = spawnSync(process.execPath, [PROGRAM, place, call, ...what], {
      encoding: 'utf8',
      env: { ...process.env, LD_PRELOAD: library },
      timeout: 120_000,
    });
    rmSync(place, { recursive: true, force: true });
    const lines = stdout.split('\n').filter((line) => line !== '');
    assert.deepEqual([status, signal, stderr], [0, null, ''], `after ${lines.at(-1)}`);
    return lines.map((line) => JSON.parse(line) as Try);
  }

  function check(found: readonly Try[], codes: readonly string[]): void {
    for (const one of found) {
      const { came, refused, after, open } = one;
      assert.ok(came === 'done' || (refused > 0 && codes.includes(came)), JSON.stringify(one));
      assert.equal(after, 'done', JSON.stringify(one));
      assert.deepEqual(open, [], `descriptors are left open: ${JSON.stringify(one)}`);
    }
    // The last one met nothing that was refused: there are no more places.
    assert.deepEqual([found.at(-1)?.refused, found.at(-1)?.came], [0, 'done']);
  }

  it('knows all calls of the program', () => {
    const stdout = execFileSync(process.execPath, [PROGRAM, mkdtempSync(join(folder, 'names-')), ''], {
      encoding: 'utf8',
    });
    assert.deepEqual(JSON.parse(stdout), CALLS);
  });

  for (const call of CALLS) {
    it(`memory: ${call}`, () => {
      const found = tries(call, 'memory');
      check(found, ['OUT_OF_MEMORY', 'ENOMEM']);
      assert.ok(found[0]!.refused > 0, 'no memory was asked for');
      // What was seen of a socket waits until there is memory for it.
      if (!call.startsWith('poll')) assert.ok(found.some(({ came }) => came === 'OUT_OF_MEMORY'));
    });
  }

  for (const call of CALLS.filter((name) => name.startsWith('submit') || ALONE.includes(name)))
    it(`memory, from some moment on: ${call}`, () => {
      check(tries(call, 'memory', 'lasting'), ['OUT_OF_MEMORY', 'ENOMEM', 'NO_THREAD']);
    });

  for (const call of THREADED)
    it(`threads: ${call}`, () => {
      const found = tries(call, 'threads', 'lasting');
      check(found, ALONE.includes(call) ? [] : ['NO_THREAD']);
      assert.ok(found[0]!.refused > 0, 'no thread was asked for');
      if (!ALONE.includes(call)) assert.equal(found[0]!.came, 'NO_THREAD');
    });
});
