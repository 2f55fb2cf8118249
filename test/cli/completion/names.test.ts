// Completions that know the repository: through clap's protocol, and in real shells on a terminal.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { ARGUMENTS, ELSEWHERE } from '../../../src/cli/completion/arguments.js';
import { createProgram } from '../../../src/cli/program.js';
import type { Session } from '../../../src/cli/session.js';
import { fastFolder } from '../../support/fast-folder.js';
import { writeArchive } from '../../support/images/ostree-archive.js';
import { writeLayout } from '../../support/images/oci-layout.js';
import { systemTar } from '../../support/layers/system-tar.js';
import { cfsbridge, runCli } from '../../support/cli/run-cli.js';

const typist = fileURLToPath(new URL('../../../../test/support/cli/type-in-shell.py', import.meta.url));
/** Seconds, for a shell to start, to complete and to run one command. */
const LONGEST = '30';

let folder: string;
let manifests: string[];
let commit: string;
const at = (name: string): string => join(folder, name);

before(() => {
  folder = mkdtempSync(join(fastFolder, 'completion-'));
  const run = (...args: string[]): string => {
    const { status, stdout, stderr } = runCli(['--repo', at('repo'), ...args]);
    assert.equal(status, 0, stderr);
    return stdout;
  };
  run('init', '--insecure');
  for (const [name, tag] of [
    ['one', 'first'],
    ['two', 'quay.io/ns/second:1'],
  ] as const) {
    writeLayout(at(name), [systemTar({ [`usr/${name}`]: name.repeat(100) })]);
    run('oci', 'pull', `oci:${at(name)}`, tag);
  }
  mkdirSync(at('files'));
  writeFileSync(at('files/a'), 'a');
  run('create-image', '--no-propagate-usr-to-root', at('files'), 'web/img');
  [commit] = writeArchive(at('files/ostree'), { 'a/b': { motd: 'hi' } }) as [string];
  run('ostree', 'pull-local', at('files/ostree'), 'a/b');
  run('ostree', 'tag', 'a/b', 'tested');
  manifests = (JSON.parse(run('oci', 'images', '--json')) as { images: { manifest_digest: string }[] }).images.map(
    ({ manifest_digest }) => manifest_digest,
  );
  assert.equal(manifests.length, 2);
});
after(() => rmSync(folder, { recursive: true }));

function ask(words: string[], env: NodeJS.ProcessEnv = {}): string[] {
  const asked = {
    ...process.env,
    COMPLETE: 'bash',
    _CLAP_COMPLETE_INDEX: String(words.length),
    _CLAP_IFS: '\v',
    ...env,
  };
  const { status, stdout, stderr } = runCli(['--', 'cfsbridge', ...words], { env: asked, cwd: folder });
  assert.deepEqual([status, stderr], [0, '']);
  return stdout === '' ? [] : stdout.split('\v');
}
const names = (...words: string[]): string[] =>
  ask(['--repo', 'repo', ...words])
    .filter((word) => !word.startsWith('-'))
    .sort();

describe('the protocol', () => {
  const digests = (): string[] => manifests.map((digest) => `@${digest}`);
  const cases: [words: string[], expected: () => string[]][] = [
    [['oci', 'inspect', ''], () => ['first', 'quay.io/ns/second:1', ...digests()]],
    [['oci', 'mount', 'f'], () => ['first']],
    [['oci', 'compute-id', '@sha'], digests],
    [['oci', 'copy', '--from', 'repo', 'q'], () => ['quay.io/ns/second:1']],
    [['oci', 'copy', ''], () => []],
    [['oci', 'tag', ''], () => manifests],
    [['oci', 'tag', 'sha256:x', ''], () => []],
    [['oci', 'untag', ''], () => ['first', 'quay.io/ns/second:1']],
    [['mount', ''], () => ['refs/web/img', 'web/img']],
    [['mount', 'web/img', ''], () => ['files/', 'one/', 'repo/', 'two/']],
    [['mount', 'web/img', 'repo/s'], () => ['repo/streams/']],
    [['ostree', 'inspect', ''], () => ['a/b', 'tested']],
    [['ostree', 'export', 't'], () => ['tested']],
    [['ostree', 'untag', ''], () => ['a/b', 'tested']],
    [['ostree', 'export', 'tested', 'tw'], () => ['two/']],
    [
      ['cat', ''],
      () => ['refs/oci/first', 'refs/oci/quay.io%2Fns%2Fsecond:1', 'refs/ostree/a%2Fb', 'refs/ostree/tested'],
    ],
    [['cat', 'oci-manifest-'], () => manifests.map((digest) => `oci-manifest-${digest}`)],
    [['oci', 'ins'], () => ['inspect']],
    [['completion', ''], () => ['bash', 'fish', 'zsh']],
    [['--hash', 'sha5'], () => ['sha512']],
    [['oci', 'inspect', '--', 'f'], () => ['first']],
    [['nonsense', 'oci', 'inspect', ''], () => []],
  ];
  for (const [words, expected] of cases)
    test(`offers for "${words.join(' ')}|"`, () => {
      assert.deepEqual(names(...words), expected().sort());
    });

  test('ids of commits wait for their first digits, and are no names to take away', () => {
    assert.deepEqual(names('ostree', 'mount', commit.slice(0, 3)), [commit]);
    assert.deepEqual(names('ostree', 'untag', commit.slice(0, 3)), []);
  });

  test('offers options, and values behind =', () => {
    assert.deepEqual(ask(['--ha']), ['--hash']);
    assert.deepEqual(ask(['--hash=']), ['--hash=sha256', '--hash=sha512']);
    assert.ok(ask(['--repo=repo', 'oci', 'inspect', 'f']).includes('first'));
    assert.ok(ask(['oci', 'inspect', '--repo', 'repo', 'f']).includes('first'));
  });

  test('every name that is offered is one that the command takes', () => {
    for (const [words, args] of [
      [
        ['oci', 'inspect', ''],
        ['oci', 'inspect'],
      ],
      [['cat', 'refs/'], ['cat']],
      [
        ['ostree', 'dump', ''],
        ['ostree', 'dump'],
      ],
      [['image-objects', ''], ['image-objects']],
    ] as const)
      for (const name of names(...words)) {
        const { status, stderr } = spawnSync(cfsbridge, ['--repo', at('repo'), ...args, name], { encoding: 'latin1' });
        assert.equal(status, 0, `${name}: ${stderr}`);
      }
  });

  test('says nothing where nothing can be known', () => {
    for (const words of [
      ['--repo', '/nowhere', 'oci', 'inspect', ''],
      ['--repo', '/proc/self/mem', 'mount', ''],
      ['--repo', 'files', 'cat', ''],
    ])
      assert.deepEqual(
        ask(words).filter((word) => !word.startsWith('-')),
        [],
      );
    for (const index of ['99', '-1', 'x', '']) ask(['oci'], { _CLAP_COMPLETE_INDEX: index });
  });

  test('zsh and fish get descriptions, each in its own way', () => {
    assert.deepEqual(ask(['completion', 'f'], { COMPLETE: 'zsh' }), ['fish']);
    assert.deepEqual(ask(['--requ'], { COMPLETE: 'zsh' }), [
      '--require-verity:Fail if the repository does not require fs-verity',
    ]);
    assert.deepEqual(ask(['--repo', 'repo', 'oci', 'untag', 'q'], { COMPLETE: 'zsh' }), ['quay.io/ns/second\\:1']);
    assert.deepEqual(ask(['--requ'], { COMPLETE: 'fish' }), [
      '--require-verity\tFail if the repository does not require fs-verity',
    ]);
  });

  test('an unknown shell is named; COMPLETE=0 is none', () => {
    const { status, stderr } = runCli([], { env: { ...process.env, COMPLETE: 'nonsense' } });
    assert.deepEqual([status, stderr], [2, 'error: unknown shell `nonsense`, expected one of `bash`, `zsh`, `fish`\n']);
    assert.match(runCli(['--version'], { env: { ...process.env, COMPLETE: '0' } }).stdout, /^cfsbridge /);
  });
});

test('the arguments that are known are those of commands', () => {
  const program = createProgram({} as Session);
  for (const path of [...Object.keys(ARGUMENTS), ...Object.keys(ELSEWHERE)]) {
    let command = program;
    for (const word of path.split(' '))
      command = command.commands.find((child) => child.name() === word) ?? assert.fail(path);
    assert.ok(command.registeredArguments.length >= (ARGUMENTS[path]?.length ?? 0), path);
  }
});

/** What the shell runs when it starts. */
const shells: Record<string, (script: string) => { command: string[]; env: NodeJS.ProcessEnv }> = {
  bash: (script) => {
    writeFileSync(at('bashrc'), `source <(${script})\nPS1='ready> '\n`);
    return { command: ['bash', '--noprofile', '--rcfile', at('bashrc'), '-i'], env: {} };
  },
  zsh: (script) => {
    writeFileSync(at('.zshrc'), `autoload -U compinit; compinit -u -D\nsource <(${script})\nPS1='ready> '\n`);
    return { command: ['zsh', '-i'], env: { ZDOTDIR: folder } };
  },
  fish: (script) => {
    mkdirSync(at('config/fish'), { recursive: true });
    writeFileSync(
      at('config/fish/config.fish'),
      `${script} | source\nset -g fish_autosuggestion_enabled 0\nfunction fish_prompt; echo -n 'ready> '; end\n`,
    );
    return { command: ['fish', '-i'], env: { XDG_CONFIG_HOME: at('config'), XDG_DATA_HOME: at('data') } };
  },
};

for (const [shell, start] of Object.entries(shells))
  for (const [which, script] of [
    ['its completion script', `cfsbridge completion ${shell}`],
    ["clap's protocol", `env COMPLETE=${shell} cfsbridge`],
  ] as const)
    for (const [typed, whole] of [
      ['@', () => manifests[0]!],
      ['qu', () => 'quay.io/ns/second:1'],
      ['quay.io/ns/second:', () => 'second:1'],
    ] as const)
      test(`${shell} with ${which} completes "${typed}", and the command takes it`, (t) => {
        if (spawnSync(shell, ['-c', 'true']).error) return t.skip(`${shell} is not installed`);
        const { command, env } = start(script);
        // Enough of the digest to tell it from the other one.
        const begun = typed === '@' ? `@${manifests[0]!.slice(0, 12)}` : typed;
        const path = `${join(cfsbridge, '..')}:${process.env['PATH']}`;
        const { stdout } = spawnSync(
          'python3',
          [typist, LONGEST, `cfsbridge --repo repo oci inspect ${begun}\t`, whole(), ...command],
          { cwd: folder, env: { ...process.env, ...env, PATH: path, HOME: folder }, encoding: 'utf8' },
        );
        assert.match(stdout, /"manifest": "/, stdout);
      });

test('a completion takes less than 80 ms, or on a busy machine no more than --version', () => {
  const measure = `
import os, resource, subprocess, sys
def once(command):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
whole = min(once(sys.argv[1:]) for _ in range(12))
del os.environ["COMPLETE"]
print(round(whole * 1000), round((whole - min(once([sys.argv[1], "--version"]) for _ in range(12))) * 1000))`;
  const words = ['--', 'cfsbridge', '--repo', at('repo'), 'oci', 'inspect', ''];
  const env = { ...process.env, COMPLETE: 'bash', _CLAP_COMPLETE_INDEX: '5' };
  const { stdout } = spawnSync('python3', ['-c', measure, cfsbridge, ...words], { encoding: 'utf8', env });
  const [whole, more] = stdout.split(' ').map(Number) as [number, number];
  // The processor's time, which grows, too, when others use its caches.
  assert.ok(whole < 80 || more <= 5, `${whole} ms, ${more} ms more than --version`);
});
