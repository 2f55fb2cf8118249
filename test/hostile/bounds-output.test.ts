// Output that cannot be written, and writes that fail once.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { files, type FdNumber } from '../../src/native.js';
import { cfsbridge, runCli } from '../support/cli/run-cli.js';
import { header } from '../support/layers/make-tar.js';
import { makeStore } from '../support/images/made-store.js';
import { attack } from './attack.js';
import { craftRepository, craftStream, DIFF_ID } from './crafted-image.js';

const env = { ...process.env, PATH: `${dirname(process.execPath)}:${process.env['PATH']}` };
const bash = (script: string, ...args: string[]): { status: number | null; stdout: string; stderr: string } =>
  spawnSync('bash', ['-c', script, ...args], { encoding: 'utf8', env });

const COMMANDS = [
  '--help',
  'oci images',
  'oci images --json',
  'oci dump web',
  `oci layer ${DIFF_ID}`,
  `oci layer --json ${DIFF_ID}`,
  `cat oci-layer-${DIFF_ID}`,
  'fsck',
  'gc --dry-run',
  'oci inspect web',
];

attack('standard output on a full disk', {}, async (t) => {
  const repo = await repository(t);
  for (const command of COMMANDS) {
    const { status, stderr } = bash(`"$0" --repo "$1" ${command} > /dev/full`, cfsbridge, repo);
    assert.deepEqual(
      [status, stderr],
      [1, 'Error: cannot write to standard output: no space left on device\n'],
      command,
    );
  }
  return 'status 1 and one line, without advice about repositories';
});

attack('standard output that nobody reads', {}, async (t) => {
  const repo = await repository(t);
  const cfsctl = join(repo, 'cfsctl');
  symlinkSync(cfsbridge, cfsctl);
  for (const command of COMMANDS)
    for (const [program, expected] of [
      [cfsbridge, 141],
      [cfsctl, 1],
    ] as const) {
      const [reading, writing] = files.pipe();
      files.close(reading as FdNumber);
      const { status, stderr } = spawnSync(program, ['--repo', repo, ...command.split(' ')], {
        stdio: ['ignore', writing, 'pipe'],
        encoding: 'utf8',
        env,
      });
      files.close(writing as FdNumber);
      assert.deepEqual([status, stderr], [expected, ''], `${program === cfsctl ? 'cfsctl' : 'cfsbridge'} ${command}`);
    }
  return 'silent, 141, and 1 as cfsctl';
});

const noStrace = spawnSync('strace', ['-V']).status === 0 ? false : 'needs strace (Debian package strace)';

for (const [error, every] of [
  ['EIO', 1],
  ['ENOSPC', 3],
  ['EPIPE', 3],
] as const)
  attack(`write fails once by ${error}, anywhere in a pull`, { skip: noStrace }, (t) => {
    const folder = mkdtempSync(join(tmpdir(), 'bounds-write-'));
    t.after(() => rmSync(folder, { recursive: true }));
    makeStore(join(folder, 'store'), [
      {
        name: 'localhost/web:1',
        layers: [
          { entries: Array.from({ length: 300 }, (_, i) => ({ name: `f${i}`, content: Buffer.alloc(100 + i, i) })) },
        ],
      },
    ]);
    writeFileSync(
      join(folder, 'storage.conf'),
      `[storage]\ndriver = "overlay"\ngraphroot = "${folder}/store"\nrunroot = "${folder}/run"\n`,
    );
    const outcomes = new Map<number | null, number>();
    for (let when = 1; ; when += every) {
      const repo = join(folder, `repo${when}`);
      assert.equal(runCli(['init', '--insecure', repo]).status, 0);
      const trace = join(folder, 'trace');
      const strace = [
        '-f',
        '-qq',
        '-o',
        trace,
        '-e',
        'trace=write,openat',
        '-e',
        'signal=none',
        '-e',
        `inject=write:error=${error}:when=${when}`,
      ];
      const { status, signal, stderr } = spawnSync(
        'strace',
        [...strace, cfsbridge, '--repo', repo, 'oci', 'pull', 'containers-storage:localhost/web:1', 'web'],
        { encoding: 'utf8', env: { ...env, CONTAINERS_STORAGE_CONF: join(folder, 'storage.conf') } },
      );
      const lines = readFileSync(trace, 'utf8').split('\n');
      const injected = lines.findIndex((line) => line.includes('(INJECTED)'));
      if (injected < 0) break;
      // What fails before any of our code runs is between Node and itself.
      const loaded = lines.findIndex((line) => line.includes('cfsbridge.node'));
      if (loaded < 0 || injected < loaded) continue;
      assert.ok(signal === null && [0, 1, 141].includes(status ?? -1), `${when}: ${status} ${signal} ${stderr}`);
      outcomes.set(status, (outcomes.get(status) ?? 0) + 1);
      const check = runCli(['--repo', repo, 'fsck']);
      assert.equal(check.status, 0, `${when}: ${check.stdout}${check.stderr}`);
    }
    assert.ok([...outcomes.values()].reduce((sum, count) => sum + count) >= 3);
    return (
      [...outcomes]
        .sort()
        .map(([status, count]) => `status ${status}: ${count} times`)
        .join(', ') + '; the repository is whole'
    );
  });

async function repository(t: { after(fn: () => void): void }): Promise<string> {
  const repo = mkdtempSync(join(tmpdir(), 'bounds-output-'));
  t.after(() => rmSync(repo, { recursive: true }));
  const folder = header({ name: 'usr/', type: '5', mode: 0o755 });
  const tar = Buffer.concat([
    ...Array.from({ length: 500 }, (_, i) => header({ name: `usr/${i}`, type: '5' })),
    folder,
    Buffer.alloc(1024),
  ]);
  await craftRepository(repo, 'web', () => craftStream(tar.length, [tar]));
  return repo;
}
