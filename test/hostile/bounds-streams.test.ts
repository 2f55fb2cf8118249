// Layer streams of two megabytes or less that stand for 64 GiB.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { header } from '../support/layers/make-tar.js';
import { attack } from './attack.js';
import { craftRepository, craftStream, DIFF_ID } from './crafted-image.js';
import { measured } from './measure.js';

const GIB = 2 ** 30;
const OBJECT = 64 << 20;

/** A folder, and the end of the archive. */
const TAR = Buffer.concat([header({ name: 'usr/', type: '5', mode: 0o755 }), Buffer.alloc(1024)]);
/** The same with a file whose content is object 0. */
const HEADS = [header({ name: 'usr/', type: '5', mode: 0o755 }), header({ name: 'usr/large', size: OBJECT })] as const;

const SHAPES = {
  'inline zeros behind the archive': () => craftStream(TAR.length + 64 * GIB, [TAR, { zeros: 64 * GIB }]),
  'one object many times': (id: string) =>
    craftStream(
      1024 + OBJECT + 1024 + 1023 * OBJECT,
      [Buffer.concat(HEADS), { object: 1 }, Buffer.alloc(1024), { object: 1023 }],
      [id],
    ),
} as const;

for (const [shape, stream] of Object.entries(SHAPES)) {
  attack(`a layer of 64 GiB as ${shape}: dump, compute-id and listings`, {}, async (t) => {
    const { repo } = await repository(t, stream);
    const lines: string[] = [];
    for (const args of [
      ['dump', 'big'],
      ['compute-id', 'big'],
      ['layer', '--dumpfile', DIFF_ID],
      ['layer', '--json', DIFF_ID],
      ['inspect', 'big'],
      ['images'],
    ]) {
      const run = await measured(['--repo', repo, 'oci', ...args], { limit: 20 });
      assert.equal(run.status, 0, `${args.join(' ')}: ${run.status} ${run.stderr}`);
      assert.ok(run.mebibytes < 300, `${args.join(' ')}: ${run.mebibytes} MiB`);
      lines.push(`${args[0]} ${run.seconds.toFixed(1)} s`);
    }
    return `ends: ${lines.join(', ')}`;
  });

  attack(`a layer of 64 GiB as ${shape}: oci layer and SIGINT`, {}, async (t) => {
    const { repo } = await repository(t, stream);
    const run = await measured(['--repo', repo, 'oci', 'layer', DIFF_ID], { interruptAfter: { bytes: 2 * GIB } });
    assert.deepEqual([run.status, run.stderr], [130, '']);
    assert.ok(run.ending < 1, `ended after ${run.ending} s`);
    assert.ok(run.mebibytes < 200, `${run.mebibytes} MiB`);
    return `ends ${run.ending.toFixed(2)} s after SIGINT, ${run.mebibytes} MiB`;
  });
}

attack('a layer of 64 GiB as one object many times: oci fsck and SIGINT', {}, async (t) => {
  const { repo } = await repository(t, (id) => craftStream(64 * GIB, [{ object: (64 * GIB) / OBJECT }], [id]));
  const run = await measured(['--repo', repo, 'oci', 'fsck'], { interruptAfter: { milliseconds: 1500 }, limit: 20 });
  assert.equal(run.status, 130, run.stderr);
  assert.ok(run.ending < 1, `ended after ${run.ending} s`);
  return `ends ${run.ending.toFixed(2)} s after SIGINT, ${run.mebibytes} MiB`;
});

const LYING = {
  'inline zeros': () => craftStream(1 << 20, [TAR, { zeros: 64 * GIB }]),
  'one object many times': (id: string) =>
    craftStream(1 << 20, [Buffer.concat([header({ name: 'large', size: OBJECT })]), { object: 1024 }], [id]),
  'headers beyond count': () =>
    craftStream(
      1 << 20,
      Array.from({ length: 3000 }, () => header({ name: 'x/', type: '5' })),
    ),
} as const;

for (const [shape, stream] of Object.entries(LYING))
  attack(`a layer that says 1 MiB and expands to more, as ${shape}`, {}, async (t) => {
    const { repo } = await repository(t, stream);
    for (const args of [
      ['layer', DIFF_ID],
      ...(shape === 'inline zeros'
        ? []
        : [
            ['dump', 'big'],
            ['compute-id', 'big'],
            ['layer', '--json', DIFF_ID],
            ['layer', '--dumpfile', DIFF_ID],
          ]),
    ]) {
      const run = await measured(['--repo', repo, 'oci', ...args], { limit: 20 });
      assert.equal(run.status, 1, `${args.join(' ')}: ${run.status} ${run.stderr}`);
      assert.match(run.stderr, /the stream says that it has 1048576 bytes, but its parts have more/);
      assert.ok(run.written <= 2 << 20, `${args.join(' ')} wrote ${run.written} bytes`);
      assert.ok(run.seconds < 5, `${args.join(' ')} took ${run.seconds} s`);
    }
    return 'an error before a byte too much';
  });

async function repository(
  t: { after(fn: () => void): void },
  stream: (id: string) => Buffer,
): Promise<{ repo: string }> {
  const repo = mkdtempSync(join(tmpdir(), 'bounds-streams-'));
  t.after(() => rmSync(repo, { recursive: true }));
  await craftRepository(repo, 'big', async (repository) => {
    const id = await repository.objects.put(Buffer.alloc(OBJECT));
    const made = stream(id);
    assert.ok(made.length < 3 << 20);
    return made;
  });
  return { repo };
}
