// Subordinate ids that a service has, as sssd does: the machine's own getsubids and newuidmap ask it.
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, lchownSync, mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { cfsbridge } from '../support/cli/run-cli.js';
import { baseLayerFolder, makeStore, type MadeLayer } from '../support/images/made-store.js';
import { RootlessUser, ROOTLESS, whyNoRootlessUser, type Surroundings } from '../support/rootless-user.js';

const NAME = 'localhost/closed:latest';
const LAYER: MadeLayer = { entries: [{ name: 'closed', content: Buffer.alloc(5000, 'c') }] };
/** What the service has for the user, and no file in /etc. */
const [FIRST, COUNT] = [800_000, 3000];
/** The module by which libsubid asks a service with the name `test`. */
const MODULE = `
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
struct subid_range { unsigned long start, count; };
int shadow_subid_has_range(const char *owner, unsigned long start, unsigned long count, int type, bool *result) {
  *result = strcmp(owner, "rootless") == 0 && start >= ${FIRST} && start + count <= ${FIRST + COUNT};
  return 0;
}
int shadow_subid_list_owner_ranges(const char *owner, int type, struct subid_range **ranges, int *count) {
  *count = 0;
  *ranges = NULL;
  if (strcmp(owner, "rootless") != 0) return 1;
  *ranges = malloc(sizeof **ranges);
  (*ranges)->start = ${FIRST};
  (*ranges)->count = ${COUNT};
  *count = 1;
  return 0;
}
int shadow_subid_find_subid_owners(unsigned long id, int type, unsigned **uids, int *count) { return 3; }
void shadow_subid_free(void *ptr) { free(ptr); }
`;

describe('subordinate ids of a service', { skip: whyNoRootlessUser() || whyNoService() }, () => {
  let user: RootlessUser;
  let surroundings: Surroundings;
  before(() => {
    user = new RootlessUser();
    const graphroot = join(user.home, 'store');
    makeStore(graphroot, [{ name: NAME, layers: [LAYER] }]);
    execFileSync('chown', ['-R', `${ROOTLESS}:${ROOTLESS}`, graphroot]);
    const secret = join(baseLayerFolder(graphroot, LAYER), 'closed');
    lchownSync(secret, FIRST + 5, FIRST + 5);
    chmodSync(secret, 0o600);
    const source = join(user.home, 'module.c');
    writeFileSync(source, MODULE);
    for (const name of ['upper', 'work']) mkdirSync(join(user.home, name));
    execFileSync('cc', ['-shared', '-fPIC', '-o', join(user.home, 'upper/libsubid_test.so'), source]);
    // newuidmap, which is setuid, looks for modules beside the system's libraries alone.
    const options = `lowerdir=${libraries()},upperdir=${user.home}/upper,workdir=${user.home}/work`;
    surroundings = {
      nsswitch: '# subid: files\npasswd: files\ngroup: files\nsubid: test files\n',
      before: `mount -t overlay -o "${options}" overlay "${libraries()}"`,
      env: { NODE_DEBUG: 'cfsbridge' },
    };
  });
  after(() => user[Symbol.dispose]());

  test('are those of the namespace, whatever the files say', () => {
    const repository = join(user.home, 'repository');
    const { status, stderr } = run(['init', '--insecure', repository], surroundings);
    assert.equal(status, 0, stderr);
    const pulled = run(['--repo', repository, 'oci', 'pull', reference(), 'it'], surroundings);
    assert.equal(pulled.status, 0, pulled.stderr);
    assert.match(pulled.stderr, /getsubids has 1 ranges of gids for rootless from test/);
    assert.match(pulled.stderr, /user namespace: making one by/);
  });

  test('that has none for the user is named', () => {
    const { status, stderr } = run(['copy', reference(), `containers-storage:[overlay@${user.home}/to]a`], {
      ...surroundings,
      before:
        `${surroundings.before}; sed s/^rootless:/another:/ /etc/passwd >"$home/passwd"; ` +
        'mount --bind "$home/passwd" /etc/passwd',
    });
    assert.equal(status, 1);
    assert.match(stderr, /"test" has no subordinate uids for user 61234; \/etc\/nsswitch\.conf says \(subid:\)/);
  });

  test('are not known to root, who reads the store of another', () => {
    const [program = '', ...args] = user.asRoot([cfsbridge, 'init', '--insecure', join(user.home, 'of-root')]);
    execFileSync(program, args);
    const [pull = '', ...rest] = user.asRoot(
      [cfsbridge, '--repo', join(user.home, 'of-root'), 'oci', 'pull', reference(), 'it'],
      surroundings,
    );
    const { status, stderr } = spawnSync(pull, rest, { encoding: 'utf8' });
    assert.equal(status, 1);
    assert.match(stderr, /belongs to user 800005 .+; read the store as its owner\. .+ "test" has these/);
  });

  const reference = (): string => `containers-storage:[overlay@${user.home}/store]${NAME}`;

  function run(args: readonly string[], how: Surroundings): ReturnType<RootlessUser['run']> {
    return user.run([cfsbridge, ...args], how);
  }
});

function whyNoService(): string | false {
  const has = (program: string): boolean => spawnSync('sh', ['-c', `command -v ${program}`]).status === 0;
  for (const program of ['cc', 'getsubids']) if (!has(program)) return `${program} is not installed`;
  return false;
}

/** Where libsubid is. */
function libraries(): string {
  const linked = execFileSync('sh', ['-c', 'ldd "$(command -v getsubids)"'], { encoding: 'utf8' });
  const found = /libsubid\S+ => (\S+)/.exec(linked)?.[1] ?? '';
  return execFileSync('realpath', [dirname(found)], { encoding: 'utf8' }).trim();
}
