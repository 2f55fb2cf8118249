// Who may do what with whose repository: the table of commands in docs/security.md, a test for each cell.
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { basename, join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { after, test } from 'node:test';
import type { Command } from 'commander';
import { createProgram } from '../../src/cli/program.js';
import type { Session } from '../../src/cli/session.js';
import { cfsbridge as program } from '../support/cli/run-cli.js';
import { whyNoAttacker } from './attack.js';
import { giveAway } from './stranger-repository.js';
import {
  copyOf,
  emptyDelta,
  ignoreMount,
  noMount,
  original,
  removeOriginal,
  rowsOf,
  startSummaries,
  trustTable,
  type Made,
} from './trust-table.js';

const skip = whyNoAttacker();
after(removeOriginal);

interface Case {
  /** as in the table */
  name: string;
  words: (made: Made, repository: string) => string[];
  input?: (made: Made) => Buffer;
  /** another repository that it works on */
  works?: (made: Made) => string;
  /** what shows that a command that goes on until it is ended has begun */
  begun?: (stderr: string, repository: string) => boolean;
}

const summaries = await startSummaries();
after(() => summaries.close());

/** What the commands do with a repository, a row of the table each. */
const COMMANDS: Record<'writes' | 'reads' | 'sends' | 'mounts', Case[]> = {
  writes: [
    { name: 'init', words: () => ['init', '--insecure'] },
    { name: 'gc', words: () => ['gc'] },
    { name: 'fsck --repair', words: () => ['fsck', '--repair'] },
    { name: 'migrate', words: () => ['migrate', '--algorithm', 'fsverity-sha256-12'] },
    { name: 'create-image', words: ({ folder }) => ['create-image', join(folder, 'tree'), 'other'] },
    { name: 'import-image', words: () => ['import-image', 'other'], input: () => Buffer.from('anything') },
    { name: 'oci pull', words: ({ layout }) => ['oci', 'pull', `oci:${layout}`, 'again'] },
    {
      name: 'oci copy into it',
      words: ({ repository }) => ['oci', 'copy', 'image', '--from', repository, '--name', 'copy'],
    },
    { name: 'oci tag', words: ({ manifest }) => ['oci', 'tag', manifest, 'other'] },
    { name: 'oci untag', words: () => ['oci', 'untag', 'image'] },
    {
      name: 'oci import-layer',
      words: ({ diffId }) => ['oci', 'import-layer', diffId, 'base'],
      input: ({ tar }) => tar,
    },
    {
      name: 'oci prepare-boot',
      words: ({ folder }) => ['oci', 'prepare-boot', 'os', '--bootdir', join(folder, 'boot')],
    },
    {
      name: 'ostree pull-local',
      words: ({ folder }) => ['ostree', 'pull-local', join(folder, 'ostree'), 'other'],
    },
    {
      name: 'ostree pull',
      words: ({ folder }) => ['ostree', 'pull', `file://${join(folder, 'ostree')}`, 'other'],
    },
    { name: 'ostree apply-delta', words: ({ folder }) => ['ostree', 'apply-delta', emptyDelta(folder)] },
    {
      name: 'ostree list-refs',
      words: () => ['ostree', 'list-refs', summaries.url],
      // It is run beside the server.
      begun: () => false,
    },
    { name: 'ostree commit', words: () => ['ostree', 'commit', 'refs/web'] },
    { name: 'ostree tag', words: () => ['ostree', 'tag', 'commit', 'copy'] },
    { name: 'ostree untag', words: () => ['ostree', 'untag', 'commit'] },
  ],
  reads: [
    { name: 'gc --dry-run', words: () => ['gc', '--dry-run'] },
    { name: 'images', words: () => ['images'] },
    { name: 'image-objects', words: () => ['image-objects', 'refs/web'] },
    { name: 'dump-files', words: () => ['dump-files', 'refs/web', '/file1'] },
    { name: 'fsck', words: () => ['fsck'] },
    { name: 'oci images', words: () => ['oci', 'images'] },
    { name: 'oci inspect', words: () => ['oci', 'inspect', 'image'] },
    { name: 'oci linked-erofs-images', words: ({ image }) => ['oci', 'linked-erofs-images', image] },
    { name: 'oci fsck', words: () => ['oci', 'fsck'] },
    { name: 'ostree images', words: () => ['ostree', 'images'] },
    ...['inspect', 'dump', 'compute-id'].map((name) => ({
      name: `ostree ${name}`,
      words: () => ['ostree', name, 'commit'],
    })),
    {
      name: 'transaction',
      words: () => ['transaction'],
      begun: (_, repository) => spawnSync('flock', ['--nonblock', '--exclusive', repository, 'true']).status !== 0,
    },
    ...['compute-id', 'create-dumpfile', 'compute-karg'].map((name) => ({
      name,
      words: ({ folder }: Made) => [name, join(folder, 'tree')],
    })),
  ],
  sends: [
    { name: 'cat', words: () => ['cat', 'refs/oci/image'] },
    { name: 'oci layer', words: ({ diffId }) => ['oci', 'layer', diffId] },
    { name: 'oci dump', words: () => ['oci', 'dump', 'image'] },
    { name: 'oci compute-id', words: () => ['oci', 'compute-id', 'image'] },
    {
      name: 'oci create-delta',
      words: ({ folder }, repository) => [
        'oci',
        'create-delta',
        'os',
        'image',
        `oci-archive:${join(folder, `${basename(repository)}-delta`)}`,
      ],
    },
    {
      name: 'oci push',
      words: ({ folder }, repository) => ['oci', 'push', 'image', `dir:${join(folder, `${basename(repository)}-out`)}`],
    },
    {
      name: 'oci copy out of it',
      works: ({ folder }) => join(folder, 'own'),
      words: (_, repository) => ['oci', 'copy', 'image', '--from', repository, '--name', 'copy'],
    },
    { name: 'ostree export', words: ({ folder }) => ['ostree', 'export', 'commit', join(folder, 'bare')] },
    {
      name: 'serve --repository',
      words: ({ folder }) => ['serve', '--repository', '--socket', join(folder, 'socket')],
      begun: (stderr) => stderr.startsWith('serving '),
    },
  ],
  mounts: [
    { name: 'mount', words: ({ folder }) => ['mount', 'refs/web', join(folder, 'mnt')] },
    { name: 'oci mount', words: ({ folder }) => ['oci', 'mount', 'image', join(folder, 'mnt')] },
    { name: 'ostree mount', words: ({ folder }) => ['ostree', 'mount', 'commit', join(folder, 'mnt')] },
  ],
};

const TRUST = {
  own: { stranger: false, options: [], env: false },
  'a stranger’s': { stranger: true, options: [], env: false },
  'a stranger’s, --trust-repository': { stranger: true, options: ['--trust-repository'], env: false },
  'a stranger’s, CFSBRIDGE_TRUST': { stranger: true, options: [], env: true },
} as const;

for (const kind of rowsOf(COMMANDS))
  for (const command of COMMANDS[kind])
    for (const [owner, { stranger, options, env }] of Object.entries(TRUST))
      test(`${command.name}: ${owner}`, { skip: skip || (kind === 'mounts' && noMount) }, async () => {
        const made = original();
        const repository = copyOf(made);
        try {
          if (stranger) giveAway(repository);
          const line = ['--repo', command.works?.(made) ?? repository, ...options, ...command.words(made, repository)];
          const { status, stderr } = await run(
            line,
            command,
            made,
            repository,
            env ? { CFSBRIDGE_TRUST: `/elsewhere:${repository}` } : {},
          );
          if (kind === 'mounts' && status === 0) ignoreMount(join(made.folder, 'mnt'));
          const refused = owner === 'a stranger’s' && (kind === 'writes' || kind === 'mounts');
          assert.equal(status, refused ? 1 : 0, stderr);
          if (refused)
            assert.match(
              stderr,
              /belongs to user 12345 and neither to root nor to you: if you trust that user, name the folder in CFSBRIDGE_TRUST or give --trust-repository/,
            );
        } finally {
          rmSync(repository, { recursive: true, force: true });
        }
      });

/** Runs a command to its end, or until it is seen at work. */
async function run(
  line: string[],
  { input, begun }: Case,
  made: Made,
  repository: string,
  env: NodeJS.ProcessEnv,
): Promise<{ status: number | null; stderr: string }> {
  if (begun === undefined)
    return spawnSync(program, line, {
      encoding: 'utf8',
      env: { ...process.env, ...env },
      ...(input && { input: input(made) }),
      timeout: 120_000,
    });
  const child = spawn(program, line, { env: { ...process.env, ...env }, stdio: ['ignore', 'ignore', 'pipe'] });
  const exited = once(child, 'exit');
  let stderr = '';
  child.stderr.on('data', (data: Buffer) => (stderr += data.toString()));
  while (child.exitCode === null && !begun(stderr, repository)) await setTimeout(20);
  const status = child.exitCode ?? 0;
  child.kill();
  await exited;
  return { status, stderr };
}

test('the table has every command, and each of its cells is tried', () => {
  const { rows, others } = trustTable('command');
  assert.deepEqual(
    rows,
    rowsOf(COMMANDS).map((kind) => COMMANDS[kind].map(({ name }) => name)),
  );
  const inTable = [...new Set(rows.flat().map((name) => name.replace(/ --[a-z-]+$| (into|out of) it$/, '')))];
  assert.deepEqual([...inTable, ...others].sort(), leaves(createProgram({} as Session)).sort());
});

/** The words of all commands that have none below them. */
function leaves(command: Command): string[] {
  return command.commands.flatMap((inner) =>
    inner.commands.length > 0 ? leaves(inner).map((name) => `${inner.name()} ${name}`) : [inner.name()],
  );
}
