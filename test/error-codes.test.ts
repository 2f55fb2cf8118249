import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { constants } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import * as api from '../src/index.js';

const root = fileURLToPath(new URL('../..', import.meta.url));

function read(path: string): string {
  return readFileSync(join(root, path), 'utf8');
}

function textOf(folder: string, pattern: RegExp): string {
  return readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter((name) => pattern.test(name) && name !== 'error-codes.ts')
    .map((name) => read(join(folder, name)))
    .join('\n');
}

function all(text: string, pattern: RegExp): string[] {
  return [...text.matchAll(pattern)].map(([, found]) => found!);
}

/** The members of each union in src/error-codes.ts that are literals. */
const unions = new Map(
  [...read('src/error-codes.ts').matchAll(/^export type (\w+) =([^;]*);/gm)].map(([, name, members]) => [
    name!,
    all(members!, /'([A-Z][A-Z0-9_]*)'/g),
  ]),
);
const codes = new Set([...unions].flatMap(([name, members]) => (name === 'SystemErrorCode' ? [] : members)));
const page = read('docs/errors.md');
/** The rows of the page: code and classes. */
const rows = [...page.matchAll(/^\| `([A-Z0-9_]+)` \| (.*?) \| (.*?) \|/gm)].map(([, code, classes, meaning]) => ({
  code: code!,
  classes: all(classes!, /`(\w+)`/g),
  meaning: meaning!,
}));
const source = textOf('src', /\.c?ts$/);
const native = textOf('native', /\.(cc|h)$/);

function isErrno(code: string): boolean {
  return code in constants.errno || unions.get('SystemErrorCode')!.includes(code);
}

test('every code is on the page once, and the page has no other', () => {
  const onPage = rows.map(({ code }) => code);
  assert.deepEqual(
    onPage.filter((code) => !codes.has(code) && !isErrno(code)),
    [],
    'not in src/error-codes.ts',
  );
  assert.deepEqual(
    [...codes].filter((code) => !onPage.includes(code)),
    [],
    'not in docs/errors.md',
  );
  assert.equal(new Set(onPage).size, onPage.length, 'twice on the page');
  for (const { code, classes, meaning } of rows) assert.ok(classes.length > 0 && meaning.length > 3, code);
});

test('every code is used', () => {
  const used = new Set([...all(source, /'([A-Z][A-Z0-9_]*)'/g), ...all(native, /"([A-Z][A-Z0-9_]*)"/g)]);
  assert.deepEqual(
    [...codes].filter((code) => !used.has(code)),
    [],
  );
});

test('what native code fails with is known', () => {
  const thrown = all(native, /\bfail(?:Locked)?\(\s*\{?"([A-Z0-9_]+)"/g);
  const errors = all(native, /StoreError\{"([A-Z0-9_]+)"/g);
  assert.ok(thrown.length > 10);
  const known = ['NativeErrorCode', 'NativeLayerErrorCode'].flatMap((name) => unions.get(name)!);
  for (const code of [...thrown, ...errors]) assert.ok(known.includes(code) || isErrno(code), code);
  for (const code of known) assert.ok(native.includes(`"${code}"`), code);
});

test('the page names the class that each code comes with', () => {
  const ofUnion: Record<string, string> = {
    FormatErrorCode: 'FormatError',
    RpcProtocolErrorCode: 'RpcProtocolError',
    SocketErrorCode: 'SocketError',
    HttpErrorCode: 'HttpError',
    RegistryErrorCode: 'RegistryError',
    NativeErrorCode: 'StoreFailure',
    StateErrorCode: 'BridgeError',
  };
  for (const [union, members] of unions) {
    const name = ofUnion[union];
    if (name === undefined) continue;
    for (const code of members) {
      const { classes } = rows.find((row) => row.code === code)!;
      assert.ok(classes.includes(name), `${code} of ${union} comes with ${name}, the page says ${classes.join(', ')}`);
    }
  }
  for (const [, name, code] of source.matchAll(/new (\w+(?:Error|Failure))\(\s*'([A-Z0-9_]+)'/g)) {
    const { classes } = rows.find((row) => row.code === code) ?? assert.fail(`${code}, thrown as ${name}`);
    assert.ok(classes.includes(name!), `${code} is thrown as ${name}, the page says ${classes.join(', ')}`);
  }
});

test('every class of errors is exported and on the page, and there is no other', () => {
  const exported = Object.entries(api)
    .filter(
      ([, value]) =>
        typeof value === 'function' && (value === api.BridgeError || value.prototype instanceof api.BridgeError),
    )
    .map(([name]) => name);
  assert.deepEqual(all(page, /^\| `(\w+(?:Error|Failure|Problem))` \|/gm).sort(), exported.sort());
  for (const { classes } of rows) for (const name of classes) assert.ok(exported.includes(name), name);
});

test('only the command line names its options', () => {
  const named = readdirSync(join(root, 'src'), { recursive: true, encoding: 'utf8' })
    // These have the options of gpgv, and of nsenter and unshare.
    .filter((name) => !['registry/policy/gpgv.ts', 'userns/inside-process.ts'].includes(name))
    .filter((name) => /\.c?ts$/.test(name) && !name.startsWith('cli/'))
    .flatMap((name) =>
      read(join('src', name))
        .split('\n')
        .filter((line) => !/^\s*(\*|\/\/|\/\*)/.test(line))
        .flatMap((line) => line.match(/['"`(\s](--(?!depth\b)[a-z][a-z-]+|cfsbridge [a-z-]+)/)?.[1] ?? [])
        .map((option) => `${name}: ${option}`),
    );
  // tar's own, and those of the programs that are started.
  const others = /: --sparse$|^oci\/source\/proxy\/(?:command|process)\.ts: /;
  assert.deepEqual(named.filter((line) => !others.test(line)).sort(), []);
});
