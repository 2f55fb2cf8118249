import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import type { Surroundings } from '../../src/storage/containers-config.js';
import { pullEndpoints, pushEndpoint, readRegistriesConfig } from '../../src/registry/registries-conf.js';
import { parseRegistryReference, showReference } from '../../src/spec/reference.js';
import { scratch } from '../support/scratch.js';
import { registriesFor, scriptedRegistry } from '../support/servers/scripted-registry.js';

const DIGEST = `sha256:${'ab'.repeat(32)}`;

function surroundings(
  t: TestContext,
  files: Record<string, string>,
  env: NodeJS.ProcessEnv = {},
  uid = 0,
): Surroundings {
  const root = scratch(t, files);
  return {
    env: Object.fromEntries(Object.entries(env).map(([key, value]) => [key, value?.replace('ROOT', root)])),
    uid,
    home: `${root}/home`,
    systemRoot: root,
  };
}

function endpoints(t: TestContext, conf: string, reference: string): string[] {
  const config = readRegistriesConfig(surroundings(t, { 'etc/containers/registries.conf': conf }));
  return pullEndpoints(config, parseRegistryReference(reference)).map(
    ({ reference: there, insecure, mirror }) =>
      `${showReference(there)}${insecure ? ' insecure' : ''}${mirror ? ' mirror' : ''}`,
  );
}

const PREFIXES = `
unqualified-search-registries = ["docker.io"]
[[registry]]
location = "reg.test"
[[registry]]
prefix = "reg.test/team"
location = "other.test/moved"
insecure = true
[[registry]]
prefix = "reg.test/team/app:old"
location = "other.test/old"
[[registry]]
prefix = "*.wild.test"
insecure = true
[[registry]]
prefix = "*.wild.test/deep"
location = "deep.test/here"
[[registry]]
prefix = "docker.io/library"
location = "hub.test/mirror/library/"
`;
const ENDPOINTS: [reference: string, expected: string[]][] = [
  ['elsewhere.test/x:1', ['elsewhere.test/x:1']],
  ['reg.test/x:1', ['reg.test/x:1']],
  ['reg.test/team/app:1', ['other.test/moved/app:1 insecure']],
  [`reg.test/team/app@${DIGEST}`, [`other.test/moved/app@${DIGEST} insecure`]],
  ['reg.test/teams/app:1', ['reg.test/teams/app:1']],
  ['reg.test/team/app:old', ['other.test/old:old']],
  ['reg.test/team/app:older', ['other.test/moved/app:older insecure']],
  ['a.wild.test/x:1', ['a.wild.test/x:1 insecure']],
  ['a.b.wild.test:5000/x:1', ['a.b.wild.test:5000/x:1 insecure']],
  ['wild.test/x:1', ['wild.test/x:1']],
  ['awild.test/x:1', ['awild.test/x:1']],
  ['a.wild.test.evil.test/x:1', ['a.wild.test.evil.test/x:1']],
  ['a.wild.test/deep/x:1', ['deep.test/here/x:1']],
  ['reg.test:5000/team/app:1', ['reg.test:5000/team/app:1']],
  ['debian', ['hub.test/mirror/library/debian:latest']],
];
for (const [reference, expected] of ENDPOINTS) {
  test(`${reference} is at ${expected[0]}`, (t) => assert.deepEqual(endpoints(t, PREFIXES, reference), expected));
}

const MIRRORS = `
[[registry]]
location = "reg.test"
[[registry.mirror]]
location = "all.test/cache"
insecure = true
[[registry.mirror]]
location = "digest.test"
pull-from-mirror = "digest-only"
[[registry.mirror]]
location = "tag.test"
pull-from-mirror = "tag-only"
`;

test('mirrors come first, each for what it is for', (t) => {
  assert.deepEqual(endpoints(t, MIRRORS, 'reg.test/a:1'), [
    'all.test/cache/a:1 insecure mirror',
    'tag.test/a:1 mirror',
    'reg.test/a:1',
  ]);
  assert.deepEqual(endpoints(t, MIRRORS, `reg.test/a@${DIGEST}`), [
    `all.test/cache/a@${DIGEST} insecure mirror`,
    `digest.test/a@${DIGEST} mirror`,
    `reg.test/a@${DIGEST}`,
  ]);
  const byDigest =
    '[[registry]]\nlocation="reg.test"\nmirror-by-digest-only=true\n[[registry.mirror]]\nlocation="m.test"\n';
  assert.deepEqual(endpoints(t, byDigest, 'reg.test/a:1'), ['reg.test/a:1']);
  assert.equal(endpoints(t, byDigest, `reg.test/a@${DIGEST}`).length, 2);
});

test('a push goes to no mirror', (t) => {
  const config = readRegistriesConfig(surroundings(t, { 'etc/containers/registries.conf': MIRRORS }));
  assert.equal(showReference(pushEndpoint(config, parseRegistryReference('reg.test/a:1')).reference), 'reg.test/a:1');
});

test('what is blocked is not asked', (t) => {
  const conf = '[[registry]]\nprefix="reg.test/bad"\nblocked=true\n[[registry]]\nprefix="reg.test/bad/but"\n';
  assert.throws(() => endpoints(t, conf, 'reg.test/bad/x:1'), {
    code: 'REGISTRY_BLOCKED',
    message: /reg\.test\/bad\/x:1.*reg\.test\/bad is blocked/,
  });
  assert.deepEqual(endpoints(t, conf, 'reg.test/bad/but/x:1'), ['reg.test/bad/but/x:1']);
});

const table = (location: string): string => `[[registry]]\nprefix="reg.test"\nlocation="${location}"\n`;

test('drop-ins come over the main file, equal tables replace each other, and one of the environment is the only one', (t) => {
  const files = {
    'usr/share/containers/registries.conf': table('distribution.test'),
    'etc/containers/registries.conf': `${table('main.test')}[[registry]]\nlocation="kept.test"\ninsecure=true\n`,
    'etc/containers/registries.conf.d/10.conf': table('ten.test'),
    'etc/containers/registries.rootful.conf.d/20.conf': table('rootful.test'),
    'etc/containers/registries.rootless.conf.d/20.conf': table('rootless.test'),
    'etc/containers/registries.rootless.conf.d/1000/20.conf': table('user.test'),
    'only.conf': table('only.test'),
    'over.conf': 'credential-helpers = ["special"]\n',
  };
  const at = (env: NodeJS.ProcessEnv, uid: number, path?: string): [string, boolean, readonly string[]] => {
    const where = surroundings(t, files, env, uid);
    const config = readRegistriesConfig(where, path && `${where.systemRoot}/${path}`);
    return [
      pullEndpoints(config, parseRegistryReference('reg.test/a:1'))[0]?.reference.host ?? '',
      pullEndpoints(config, parseRegistryReference('kept.test/a:1'))[0]?.insecure ?? false,
      config.credentialHelpers,
    ];
  };
  const standard = ['containers-auth.json'];
  assert.deepEqual(at({}, 0), ['rootful.test', true, standard]);
  assert.deepEqual(at({}, 1000), ['user.test', true, standard]);
  assert.deepEqual(at({}, 1001), ['rootless.test', true, standard]);
  assert.deepEqual(at({ CONTAINERS_REGISTRIES_CONF: 'ROOT/only.conf' }, 0), ['only.test', false, standard]);
  assert.deepEqual(at({ CONTAINERS_REGISTRIES_CONF_OVERRIDE: 'ROOT/over.conf' }, 0), [
    'rootful.test',
    true,
    ['special'],
  ]);
  assert.deepEqual(at({}, 0, 'only.conf'), ['only.test', false, standard]);
  assert.throws(() => at({}, 0, 'none.conf'), { code: 'NOT_FOUND', message: /command line names .*none\.conf/ });
});

const BAD: [conf: string, message: RegExp][] = [
  ['[[registry]\n', /registries\.conf/],
  ['[[registry]]\n', /neither prefix nor location/],
  ['[[registry]]\nlocation="https://reg.test"\n', /no scheme/],
  ['[[registry]]\nprefix="a.*.test"\n', /a \* can only/],
  ['[[registry]]\nlocation="a.test"\ninsecure="yes"\n', /registry\.0\.insecure/],
  ['[[registry]]\nlocation="a.test"\n[[registry.mirror]]\nlocation=""\n', /no location/],
  [
    '[[registry]]\nlocation="a.test"\nmirror-by-digest-only=true\n[[registry.mirror]]\nlocation="b.test"\npull-from-mirror="all"\n',
    /use the second alone/,
  ],
  ['[registries.search]\nregistries=["a"]\n', /version 1/],
];
for (const [conf, message] of BAD) {
  test(`refuses ${JSON.stringify(conf)}`, (t) =>
    assert.throws(() => endpoints(t, conf, 'a.test/x'), { code: 'BAD_CONFIG', message }));
}

test('a password that was named for the registry is not told to its mirror', async (t) => {
  const mirror = await scriptedRegistry(t, { basic: true });
  const server = await scriptedRegistry(t, { basic: true });
  server.addManifest({ schemaVersion: 2, layers: [] }, 'latest');
  const conf = `[[registry]]\nlocation="${server.host}"\n[[registry.mirror]]\nlocation="${mirror.host}"\n`;
  const { registries } = registriesFor(
    t,
    { files: { 'etc/containers/registries.conf': conf } },
    { credentials: { kind: 'basic', username: 'user', password: 'secret' } },
  );
  await registries.source(parseRegistryReference(`${server.host}/a/b`)).manifest();
  assert.ok(mirror.requests.length > 0 && mirror.requests.every(({ headers }) => headers.authorization === undefined));
  assert.ok(server.requests.at(-1)?.headers.authorization);
});
