import assert from 'node:assert/strict';
import { chmodSync, readFileSync } from 'node:fs';
import { test, type TestContext } from 'node:test';
import { parseCredentials, type Credentials } from '../../src/registry/credentials.js';
import { findCredentials } from '../../src/registry/find-credentials.js';
import { parseRepositoryName } from '../../src/spec/reference.js';
import { scratch } from '../support/scratch.js';

const user = (name: string, password = 'pass'): { auth: string } => ({
  auth: Buffer.from(`${name}:${password}`).toString('base64'),
});

/** Answers with its own name, and notes what it was asked for. */
const HELPER =
  '#!/bin/sh\nread -r server || true\necho "$server" >>"$LOG"\necho ' +
  '"{\\"ServerURL\\":\\"$server\\",\\"Username\\":\\"${0##*-}\\",\\"Secret\\":\\"kept\\"}"\n';

interface Case {
  files: Record<string, unknown>;
  env?: NodeJS.ProcessEnv;
  authFile?: string;
  helpers?: string[];
  programs?: Record<string, string>;
}

async function find(
  t: TestContext,
  name: string,
  { files, env = {}, authFile, helpers = ['containers-auth.json'], programs = { one: HELPER, two: HELPER } }: Case,
): Promise<{ found: string | undefined; asked: string[] }> {
  const texts = Object.entries(files).map(([path, json]) => [
    path,
    typeof json === 'string' ? json : JSON.stringify(json),
  ]);
  const root = scratch(t, {
    ...Object.fromEntries(texts),
    ...Object.fromEntries(Object.entries(programs).map(([helper, text]) => [`bin/docker-credential-${helper}`, text])),
    log: '',
  });
  for (const helper of Object.keys(programs)) chmodSync(`${root}/bin/docker-credential-${helper}`, 0o755);
  const surroundings = {
    env: {
      PATH: `${root}/bin:/usr/bin:/bin`,
      LOG: `${root}/log`,
      ...Object.fromEntries(Object.entries(env).map(([key, value]) => [key, value?.replace('ROOT', root)])),
    },
    uid: 7,
    home: `${root}/home`,
    systemRoot: root,
  };
  const found = await findCredentials(parseRepositoryName(name), {
    surroundings,
    helpers,
    authFile: authFile && `${root}/${authFile}`,
  });
  return { found: show(found), asked: readFileSync(`${root}/log`, 'utf8').split('\n').filter(Boolean) };
}

function show(found: Credentials | undefined): string | undefined {
  return found?.kind === 'basic' ? `${found.username}:${found.password}` : found?.token;
}

const RUN = 'run/containers/7/auth.json';
const HOME = 'home/.config/containers/auth.json';
const DOCKER = 'home/.docker/config.json';

const FOUND: [name: string, repository: string, given: Case, expected: string | undefined][] = [
  ['nowhere', 'reg.test/a', { files: {} }, undefined],
  [
    "in podman's file before docker's",
    'reg.test/a',
    {
      files: {
        [RUN]: { auths: { 'reg.test': user('run') } },
        [HOME]: { auths: { 'reg.test': user('home') } },
        [DOCKER]: { auths: { 'reg.test': user('docker') } },
      },
    },
    'run:pass',
  ],
  [
    'in the next file when the first has nothing of it',
    'reg.test/a',
    { files: { [RUN]: { auths: { 'other.test': user('run') } }, [DOCKER]: { auths: { 'reg.test': user('docker') } } } },
    'docker:pass',
  ],
  [
    'in the run folder of the environment',
    'reg.test/a',
    {
      env: { XDG_RUNTIME_DIR: 'ROOT/xdg' },
      files: {
        'xdg/containers/auth.json': { auths: { 'reg.test': user('xdg') } },
        [RUN]: { auths: { 'reg.test': user('run') } },
      },
    },
    'xdg:pass',
  ],
  [
    "in docker's other folder",
    'reg.test/a',
    { env: { DOCKER_CONFIG: 'ROOT/d' }, files: { 'd/config.json': { auths: { 'reg.test': user('d') } } } },
    'd:pass',
  ],
  [
    "in docker's oldest file",
    'reg.test/a',
    { files: { 'home/.dockercfg': { 'https://reg.test/v1/': user('old') } } },
    'old:pass',
  ],
  [
    'only in the file of the environment',
    'reg.test/a',
    {
      env: { REGISTRY_AUTH_FILE: 'ROOT/own.json' },
      files: { 'own.json': { auths: {} }, [RUN]: { auths: { 'reg.test': user('run') } } },
    },
    undefined,
  ],
  [
    'only in the file of the command line',
    'reg.test/a',
    {
      authFile: 'own.json',
      env: { REGISTRY_AUTH_FILE: 'ROOT/none.json' },
      files: { 'own.json': { auths: { 'reg.test': user('own') } } },
    },
    'own:pass',
  ],
  [
    'for the namespace before the host',
    'reg.test/team/app',
    { files: { [RUN]: { auths: { 'reg.test': user('host'), 'reg.test/team': user('team') } } } },
    'team:pass',
  ],
  [
    'for the repository itself',
    'reg.test/team/app',
    { files: { [RUN]: { auths: { 'reg.test/team/app': user('app'), 'reg.test/team': user('team') } } } },
    'app:pass',
  ],
  [
    'but not for a neighbour',
    'reg.test/teams/app',
    { files: { [RUN]: { auths: { 'reg.test/team': user('team') } } } },
    undefined,
  ],
  [
    'and not for the host with another port',
    'reg.test:5000/app',
    { files: { [RUN]: { auths: { 'reg.test': user('host') } } } },
    undefined,
  ],
  [
    'for a URL',
    'reg.test/app',
    { files: { [DOCKER]: { auths: { 'https://reg.test/v2/': user('url') } } } },
    'url:pass',
  ],
  [
    "for Docker Hub under docker's name of it",
    'debian',
    { files: { [DOCKER]: { auths: { 'https://index.docker.io/v1/': user('hub') } } } },
    'hub:pass',
  ],
  [
    "for Docker Hub under podman's name of it",
    'debian',
    { files: { [RUN]: { auths: { 'docker.io': user('hub') } } } },
    'hub:pass',
  ],
  [
    'with colons in the password and zeros after it',
    'reg.test/a',
    { files: { [RUN]: { auths: { 'reg.test': user('u', 'a:b\0\0') } } } },
    'u:a:b',
  ],
  [
    'as an identity token',
    'reg.test/a',
    { files: { [RUN]: { auths: { 'reg.test': { ...user('u'), identitytoken: 'identity' } } } } },
    'identity',
  ],
  ['not in an empty file', 'reg.test/a', { files: { [RUN]: '' } }, undefined],
  [
    'not in fields that others ignore',
    'reg.test/a',
    { files: { [RUN]: { auths: { 'reg.test': { username: 'u', password: 'p' } } } } },
    undefined,
  ],
];
for (const [name, repository, given, expected] of FOUND) {
  test(`who to be is found ${name}`, async (t) =>
    assert.deepEqual(await find(t, repository, given), { found: expected, asked: [] }));
}

const ASKED: [name: string, repository: string, given: Case, found: string | undefined, asked: string[]][] = [
  [
    'the helper of a host, before what the file itself says',
    'reg.test/a',
    {
      files: {
        [RUN]: { credHelpers: { 'reg.test': 'one', 'other.test': 'two' }, auths: { 'reg.test': user('file') } },
      },
    },
    'one:kept',
    ['reg.test'],
  ],
  [
    'the store of docker',
    'reg.test/a',
    { files: { [DOCKER]: { credsStore: 'two', auths: { 'reg.test': {} } } } },
    'two:kept',
    ['reg.test'],
  ],
  [
    'the store of docker for a host it never saw',
    'reg.test/a',
    { files: { [DOCKER]: { credsStore: 'two' } } },
    'two:kept',
    ['reg.test'],
  ],
  [
    "the store for Docker Hub by docker's name",
    'debian',
    { files: { [DOCKER]: { credsStore: 'two' } } },
    'two:kept',
    ['https://index.docker.io/v1/'],
  ],
  [
    "no store of podman's file that never heard of the host",
    'reg.test/a',
    { files: { [RUN]: { credsStore: 'two' } } },
    undefined,
    [],
  ],
  [
    'the helpers of registries.conf in order',
    'reg.test/a',
    {
      helpers: ['none', 'one', 'two'],
      programs: {
        none: '#!/bin/sh\necho "credentials not found in native keychain"; exit 1\n',
        one: HELPER,
        two: HELPER,
      },
      files: {},
    },
    'one:kept',
    ['reg.test'],
  ],
  [
    'no file when registries.conf names only helpers',
    'reg.test/a',
    { helpers: [], files: { [RUN]: { auths: { 'reg.test': user('run') } } } },
    undefined,
    [],
  ],
  [
    'a helper that knows an identity token',
    'reg.test/a',
    {
      programs: { one: '#!/bin/sh\necho \'{"Username":"<token>","Secret":"identity"}\'\n' },
      files: { [RUN]: { credHelpers: { 'reg.test': 'one' } } },
    },
    'identity',
    [],
  ],
];
for (const [name, repository, given, found, asked] of ASKED) {
  test(`asks ${name}`, async (t) => assert.deepEqual(await find(t, repository, given), { found, asked }));
}

const BAD: [name: string, given: Case, code: string, message: RegExp][] = [
  [
    'a file that is no JSON',
    { files: { [RUN]: '{"auths": {"reg.test": {"auth": hidden' } },
    'BAD_CONFIG',
    /auth\.json: it is not JSON/,
  ],
  [
    'an entry that is no text',
    { files: { [RUN]: { auths: { 'reg.test': { auth: ['hidden'] } } } } },
    'BAD_CONFIG',
    /auths\.reg\.test\.auth/,
  ],
  [
    'an entry that is no user and password',
    { files: { [RUN]: { auths: { 'reg.test': { auth: Buffer.from('hidden').toString('base64') } } } } },
    'BAD_CONFIG',
    /auths\.reg\.test\.auth/,
  ],
  [
    'a file that was named and is missing',
    { env: { REGISTRY_AUTH_FILE: 'ROOT/none' }, files: {} },
    'NOT_FOUND',
    /none/,
  ],
  [
    'a helper that is missing',
    { files: { [RUN]: { credHelpers: { 'reg.test': 'three' } } } },
    'CREDENTIAL_HELPER',
    /docker-credential-three is not there/,
  ],
  [
    'a helper that is a path',
    { files: { [RUN]: { credHelpers: { 'reg.test': '../../evil' } } } },
    'CREDENTIAL_HELPER',
    /cannot be the name/,
  ],
  [
    'a helper that fails',
    {
      programs: { one: '#!/bin/sh\nprintf "locked\\033[2J"; exit 1\n' },
      files: { [RUN]: { credHelpers: { 'reg.test': 'one' } } },
    },
    'CREDENTIAL_HELPER',
    /failed for reg\.test: locked\\x1b/,
  ],
  [
    'a helper that talks nonsense',
    {
      programs: { one: '#!/bin/sh\necho "password: hidden"\n' },
      files: { [RUN]: { credHelpers: { 'reg.test': 'one' } } },
    },
    'CREDENTIAL_HELPER',
    /not its protocol/,
  ],
  [
    'a helper that never stops talking',
    { programs: { one: '#!/bin/sh\nexec yes hidden\n' }, files: { [RUN]: { credHelpers: { 'reg.test': 'one' } } } },
    'CREDENTIAL_HELPER',
    /failed/,
  ],
];
for (const [name, given, code, message] of BAD) {
  test(`${name} is an error without secrets`, async (t) => {
    await assert.rejects(find(t, 'reg.test/a', given), (error: Error & { code?: string }) => {
      assert.equal(error.code, code, error.message);
      assert.match(error.message, message);
      assert.doesNotMatch(`${error.stack}${String((error.cause as Error | undefined)?.stack)}`, /hidden/);
      return true;
    });
  });
}

test('user and password of the command line', () => {
  assert.deepEqual(parseCredentials('user:a:b'), { kind: 'basic', username: 'user', password: 'a:b' });
  assert.deepEqual(parseCredentials('user'), { kind: 'basic', username: 'user', password: '' });
});
