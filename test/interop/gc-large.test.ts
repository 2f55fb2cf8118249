import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { verityDigest } from '../../src/fsverity/digest.js';
import { initRepository } from '../../src/repository/init.js';
import { objectPath } from '../../src/fsverity/object-id.js';
import { Repository } from '../../src/repository/repository.js';
import { CONTENT_TYPES } from '../../src/repository/splitstream/format.js';
import { SplitstreamWriter } from '../../src/repository/splitstream/writer.js';
import { cfsbridge } from '../support/cli/run-cli.js';

const OBJECTS = 300_000;
const LIMIT_MIB = 200;
/** Makes a program say the most memory it had, in KiB. */
const measure =
  'data:text/javascript,process.on("exit",()=>process.stderr.write(String(process.resourceUsage().maxRSS)))';
const memoryFolder = existsSync('/dev/shm') ? '/dev/shm' : tmpdir();

test(`a repository of ${OBJECTS} objects is checked and collected in less than ${LIMIT_MIB} MiB`, async (t) => {
  const path = mkdtempSync(join(memoryFolder, 'gc-large-'));
  t.after(() => rmSync(path, { recursive: true }));
  initRepository(path, { insecure: true });
  mkdirSync(join(path, 'objects'));
  for (let i = 0; i < 256; i++) mkdirSync(join(path, 'objects', i.toString(16).padStart(2, '0')));
  // One stream keeps half of them.
  const stream = new SplitstreamWriter(CONTENT_TYPES.layer, 'sha512');
  for (let i = 0; i < OBJECTS; i++) {
    const content = Buffer.from(`content ${String(i).padStart(6, '0')}`);
    const id = verityDigest(content, 'sha512').toString('hex');
    writeFileSync(join(path, 'objects', objectPath(id)), content);
    if (i % 2 === 0) stream.external(id, 1);
  }
  {
    using repository = await Repository.open(path, { write: true });
    await repository.linkStream('large', await repository.objects.put(await stream.finish()));
    repository.writeRef('streams', 'kept', 'large');
  }
  const count = (): number => readdirSync(join(path, 'objects'), { recursive: true, encoding: 'utf8' }).length - 256;
  const run = (...args: string[]): string => {
    const began = performance.now();
    const { stdout, stderr } = spawnSync(process.execPath, ['--import', measure, cfsbridge, '--repo', path, ...args], {
      encoding: 'utf8',
    });
    t.diagnostic(
      `${args.join(' ')}: ${Math.round(performance.now() - began)} ms, ${Math.round(Number(stderr) / 1024)} MiB`,
    );
    assert.ok(Number(stderr) > 0 && Number(stderr) / 1024 < LIMIT_MIB, stderr);
    return stdout;
  };
  assert.match(run('fsck'), /^objects: 300001\/300001 ok\nstreams: 1\/1 ok\n[^]*^status: ok$/m);
  assert.match(run('fsck', '--repair'), /^repaired: 0\nquarantined: 0\n[^]*^status: ok$/m);
  for (const [args, left] of [
    [['--dry-run'], OBJECTS + 1],
    [[], OBJECTS / 2 + 1],
  ] as const) {
    assert.match(run('gc', ...args), /^Objects: 150000 removed \(2100000 bytes\)$/m);
    assert.equal(count(), left);
  }
});
