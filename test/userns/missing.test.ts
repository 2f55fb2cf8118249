// A store with a file that only root of its user's namespace may read: what is missing for that is said.
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, copyFileSync, existsSync, lchownSync, mkdirSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { cfsbridge } from '../support/cli/run-cli.js';
import { baseLayerFolder, makeStore, type MadeLayer } from '../support/images/made-store.js';
import { RootlessUser, ROOTLESS, SUBORDINATE, whyNoRootlessUser, type Surroundings } from '../support/rootless-user.js';
import { UserNamespace } from '../support/user-namespace.js';

const FILE = Buffer.alloc(5000, 'f');
const OPEN: MadeLayer = {
  entries: [
    { name: 'etc/', type: '5', mode: 0o755 },
    { name: 'etc/open', content: FILE },
  ],
};
const CLOSED: MadeLayer = { entries: [...OPEN.entries, { name: 'etc/closed', content: Buffer.alloc(5000, 'c') }] };

/** Programs that are needed, and are not what is missing. */
const NEEDED = ['node', 'sh', 'unshare', 'nsenter'];

interface Case extends Surroundings {
  what: string;
  /** what the user's folder of programs has for these two; default: those of the machine */
  tools?: 'none' | 'copies';
  /** no more user namespaces can be made */
  exhausted?: true;
  says: RegExp;
}

const cases: Case[] = [
  {
    what: 'no line in /etc/subuid',
    subuid: 'somebody:100000:65536\n',
    says: /\/etc\/subuid has no line for user 61234; root adds one by "usermod -v 100000/,
  },
  {
    what: 'no line in /etc/subgid',
    subgid: '',
    says: /\/etc\/subgid has no line for user 61234; root adds one by "usermod -w 100000/,
  },
  {
    what: 'ranges of a service, and nothing to ask it',
    nsswitch: 'subid: sss\n',
    tools: 'none',
    says: /subordinate ids come from "sss", as \/etc\/nsswitch\.conf says.+ getsubids, .+ is not installed: .+ uidmap /,
  },
  { what: 'no newuidmap', tools: 'none', says: /newuidmap is not installed: the package uidmap has it/ },
  {
    what: 'a newuidmap that is not setuid',
    tools: 'copies',
    says: /tools\/newuidmap is not setuid root, and has no file capabilities/,
  },
  {
    what: 'no_new_privs',
    privileges: ['--no-new-privs'],
    says: /newuidmap cannot become root here: this process has the flag no_new_privs/,
  },
  {
    // This user may not have the ids of the machine's users, whatever line there is.
    what: 'a range that overlaps the ids of the namespace itself',
    subgid: `rootless:${ROOTLESS}:10\n`,
    says: /newgidmap: .+: see \/etc\/subgid/,
  },
  {
    what: 'no more user namespaces',
    exhausted: true,
    says: /user namespaces are forbidden here: user\.max_user_namespaces is 0: /,
  },
  {
    // AppArmor forbids them on Ubuntu alone, and not in its containers: its setting is faked by a file, and that there
    // are no more is what makes the namespace fail.
    what: 'a ban by AppArmor',
    exhausted: true,
    before:
      'mkdir -p "$home/kernel"; echo 1 >"$home/kernel/apparmor_restrict_unprivileged_userns"; ' +
      'mount --bind "$home/kernel" /proc/sys/kernel',
    says: /user namespaces are forbidden here: kernel\.apparmor_restrict_unprivileged_userns is 1: AppArmor/,
  },
];

describe('without a user namespace', { skip: whyNoRootlessUser() }, () => {
  let user: RootlessUser;
  let exhausted: UserNamespace;
  before(async () => {
    user = new RootlessUser();
    exhausted = await UserNamespace.start('0 0 4294967295');
    for (const [name, layer] of [
      ['open', OPEN],
      ['closed', CLOSED],
    ] as const) {
      const graphroot = join(user.home, name);
      makeStore(graphroot, [{ name: `localhost/${name}:latest`, layers: [layer] }]);
      execFileSync('chown', ['-R', `${ROOTLESS}:${ROOTLESS}`, graphroot]);
    }
    const secret = join(baseLayerFolder(join(user.home, 'closed'), CLOSED), 'etc/closed');
    lchownSync(secret, SUBORDINATE, SUBORDINATE);
    chmodSync(secret, 0o600);
    for (const kind of ['none', 'copies']) {
      const tools = join(user.home, kind, 'tools');
      mkdirSync(tools, { recursive: true });
      for (const name of NEEDED) symlinkSync(where(name), join(tools, name));
      if (kind === 'copies')
        for (const name of ['newuidmap', 'newgidmap']) {
          copyFileSync(where(name), join(tools, name));
          chmodSync(join(tools, name), 0o755);
        }
    }
  });
  after(() => {
    exhausted[Symbol.dispose]();
    user[Symbol.dispose]();
  });

  for (const { what, says, ...surroundings } of cases) {
    test(`${what}: said, and nothing gets a name`, () => {
      const repository = repositoryOf(user);
      const { status, stderr } = pull('closed', repository, surroundings);
      assert.equal(status, 1, stderr);
      assert.match(stderr, says);
      assert.match(stderr, /only root of your user namespace may read it.*layer [0-9a-f]{64}, entry "etc\/closed"/);
      assert.ok(!existsSync(join(repository, 'streams')));
    });

    test(`${what}: a store that needs none is read`, () => {
      const { status, stderr } = pull('open', repositoryOf(user), surroundings);
      assert.equal(status, 0, stderr);
    });
  }

  test('with all of it, that file comes, too', () => {
    const { status, stderr } = pull('closed', repositoryOf(user), {});
    assert.equal(status, 0, stderr);
  });

  function pull(
    store: string,
    repository: string,
    { tools, exhausted: none, ...surroundings }: Omit<Case, 'what' | 'says'>,
  ): ReturnType<RootlessUser['run']> {
    const path = tools === undefined ? [] : ['env', `PATH=${join(user.home, tools, 'tools')}`];
    const reference = `containers-storage:[@${join(user.home, store)}]localhost/${store}`;
    const command = user.command(
      [...path, cfsbridge, '--repo', repository, 'oci', 'pull', reference, 'it'],
      surroundings,
    );
    // A namespace with all ids, and a setting of its own.
    const within = [
      'nsenter',
      `--user=${exhausted.path}`,
      'sh',
      '-ec',
      'echo 0 >/proc/sys/user/max_user_namespaces; exec "$@"',
      'sh',
    ];
    const [program = '', ...args] = none ? [...within, ...command] : command;
    return spawnSync(program, args, { encoding: 'utf8' });
  }
});

test('root of a namespace who has no rights, as AppArmor may have it, says so', { skip: whyNoRootlessUser() }, () => {
  // There is no AppArmor here that takes them away: an ordinary user has none either.
  using user = new RootlessUser();
  const task = JSON.stringify({ serve: { graphroot: user.home, additionalStores: [] } });
  const { status, stderr } = user.run([cfsbridge, 'inside-user-namespace', task]);
  assert.equal(status, 1);
  assert.match(stderr, /^root of the user namespace has no rights: .+\n$/);
});

test('a folder above the store that cannot be searched is named', { skip: whyNoRootlessUser() }, () => {
  using user = new RootlessUser();
  const above = join(user.home, 'above');
  makeStore(join(above, 'store'), [{ name: 'localhost/open:latest', layers: [OPEN] }]);
  chmodSync(above, 0o700);
  const repository = repositoryOf(user);
  const { status, stderr } = user.run([
    ...[cfsbridge, '--repo', repository, 'oci', 'pull', `containers-storage:[@${join(above, 'store')}]localhost/open`],
  ]);
  assert.equal(status, 1);
  assert.match(stderr, /above\/store; this user may not search \S+\/above/);
});

let made = 0;
function repositoryOf(user: RootlessUser): string {
  const path = join(user.home, `repository-${made++}`);
  const { status, stderr } = user.run([cfsbridge, 'init', '--insecure', path]);
  assert.equal(status, 0, stderr);
  return path;
}

function where(program: string): string {
  return execFileSync('sh', ['-c', 'command -v "$1"', 'sh', program], { encoding: 'utf8' }).trim();
}
