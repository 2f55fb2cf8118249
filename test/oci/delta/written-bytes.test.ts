// What a delta writes to disks, as strace sees it: nothing but what stays.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { lstatSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { createDelta } from '../../../src/oci/delta/create.js';
import { cfsbridge } from '../../support/cli/run-cli.js';
import { layerTar, withInsertions } from '../../support/images/delta-pair.js';
import { newFolder, newLayout, newRepository } from '../../support/images/source-layout.js';
import { noise } from '../../support/random.js';
import { pullImage } from '../../../src/oci/pull/pull.js';
import { openSource } from '../../../src/oci/source/open.js';

const WRITES = 'write,pwrite64,writev,pwritev,pwritev2,copy_file_range,sendfile,splice,ftruncate,fallocate';
const MIB = 2 ** 20;

function canTrace(): string | false {
  const { status } = spawnSync('strace', ['-f', '-o', '/dev/null', 'true']);
  return status === 0 ? false : 'needs strace, and leave to use it';
}

/** Bytes that went to files, by their folder; pipes, sockets and devices are none. */
function writtenTo(trace: string): Map<string, number> {
  const written = new Map<string, number>();
  for (const line of trace.split('\n')) {
    // copy_file_range and sendfile have the file that is written in another place.
    const [, call = '', words = '', result = '0'] = /(\w+)\((.*)\)\s+= (\d+)$/.exec(line) ?? [];
    const places = [...words.matchAll(/\d+<(\/[^>]*)>/g)].map(([, path = '']) => path);
    const path = call === 'copy_file_range' || call === 'splice' ? places.at(-1) : places[0];
    if (path === undefined || path.startsWith('/dev/')) continue;
    const bytes = call === 'fallocate' || call === 'ftruncate' ? 0 : Number(result);
    written.set(path, (written.get(path) ?? 0) + bytes);
  }
  return written;
}

function sizeOf(folder: string): number {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .map((name) => lstatSync(join(folder, name)))
    .filter((stat) => stat.isFile())
    .reduce((sum, { size }) => sum + size, 0);
}

test('nothing but objects is written, each once', { skip: canTrace() }, async (t) => {
  const layout = newLayout(t);
  const [kept, changed] = [noise(6 * MIB, 'kept'), noise(4 * MIB, 'changed')];
  layout.publish({
    old: layout.image([
      {
        tar: layerTar([
          ['kept', kept],
          ['changed', changed],
        ]),
      },
    ]),
    new: layout.image([
      {
        tar: layerTar([
          ['moved', kept],
          ['changed', withInsertions(changed, 30)],
          ['new', noise(MIB, 'new')],
        ]),
      },
    ]),
  });
  const made = await newRepository(t);
  for (const name of ['old', 'new']) {
    await using source = await openSource(`oci:${layout.path}:${name}`);
    await pullImage(made.repository, source, { name });
  }
  const folder = newFolder(t);
  for (const transport of ['oci', 'oci-archive']) {
    const delta = `${transport}:${join(folder, transport)}`;
    await createDelta(made.repository, 'old', 'new', delta, {});
    const { path: repository, repository: client } = await newRepository(t);
    await using old = await openSource(`oci:${layout.path}:old`);
    await pullImage(client, old, { name: 'old' });
    const before = sizeOf(repository);
    const traces = newFolder(t);
    const trace = join(traces, 'of');
    // A file for each thread, so that no call is told in two parts.
    const command = [
      '-ff',
      '--seccomp-bpf',
      '-y',
      '-qq',
      '-o',
      trace,
      '-e',
      `trace=${WRITES}`,
      cfsbridge,
      '--repo',
      repository,
    ];
    const { status, stderr } = spawnSync('strace', [...command, 'oci', 'pull', delta, 'new'], { encoding: 'utf8' });
    assert.equal(status, 0, stderr);
    const lines = readdirSync(traces).map((name) => readFileSync(join(traces, name), 'latin1'));
    const written = writtenTo(lines.join('\n'));
    const total = [...written.values()].reduce((sum, bytes) => sum + bytes, 0);
    const grown = sizeOf(repository) - before;
    // The file that has moved is there; the changed one and the new one are not.
    assert.ok(grown > 5 * MIB && grown < 5.5 * MIB, `${grown} bytes came`);
    assert.ok(total >= grown, `strace saw ${total} bytes of ${grown}`);
    assert.ok(total <= grown + 64 * 1024, `${total} bytes were written for ${grown}: ${JSON.stringify([...written])}`);
    const elsewhere = [...written.keys()].filter((path) => !path.startsWith(repository));
    assert.deepEqual(elsewhere, []);
  }
});
