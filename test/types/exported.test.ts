// No type may stand in a signature of the public API that a program could not name.
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const src = fileURLToPath(new URL('../../src', import.meta.url));

/** A declaration file: what is declared in it, and what each name from elsewhere is. */
interface Declarations {
  texts: Map<string, string>;
  /** name here → file and name there */
  imports: Map<string, [file: string, name: string]>;
  exports: Map<string, [file: string, name: string]>;
}

const files = new Map<string, Declarations>();

function declarationsOf(file: string): Declarations {
  const known = files.get(file);
  if (known) return known;
  const text = readFileSync(file, 'utf8')
    .replace(/\/\*[^]*?\*\//g, '')
    .replace(/^\s*\/\/.*$/gm, '');
  const found: Declarations = { texts: new Map(), imports: new Map(), exports: new Map() };
  for (const [, kind, names, from] of text.matchAll(/^(import|export) (?:type )?\{([^}]*)\} from '(\.[^']*)';/gm)) {
    const target = join(dirname(file), from!.replace(/\.js$/, '.d.ts'));
    for (const entry of names!
      .split(',')
      .map((name) => name.trim().replace(/^type /, ''))
      .filter(Boolean)) {
      const [there, here = there] = entry.split(' as ') as [string, string?];
      (kind === 'import' ? found.imports : found.exports).set(here, [target, there]);
    }
  }
  for (const part of text.split(/^(?=(?:export |declare |import |interface |type ))/m)) {
    const name = /^(?:export )?(?:declare )?(?:abstract )?(?:class|interface|type|function|const|enum) (\w+)/.exec(
      part,
    )?.[1];
    if (name !== undefined) found.texts.set(name, (found.texts.get(name) ?? '') + part);
  }
  files.set(file, found);
  return found;
}

/** Where a name that a file exports is declared. */
function origin(file: string, name: string): string {
  const { exports, imports } = declarationsOf(file);
  const [there, called] = exports.get(name) ?? imports.get(name) ?? [];
  return there === undefined ? `${relative(src, file)}#${name}` : origin(there, called!);
}

function hiddenTypes(entry: string): string[] {
  const index = join(src, entry);
  const { exports } = declarationsOf(index);
  const open = new Set([...exports].map(([, [file, name]]) => origin(file, name)));
  const hidden = new Set<string>();
  for (const place of open) {
    const [file, name] = place.split('#') as [string, string];
    const declarations = declarationsOf(join(src, file));
    const text = declarations.texts.get(name);
    assert.ok(text !== undefined, place);
    const words = text.replace(/'(?:[^'\\]|\\.)*'/g, '').match(/(?<![.\w#])[A-Z]\w*/g) ?? [];
    for (const word of words) {
      if (word === name || !(declarations.texts.has(word) || declarations.imports.has(word))) continue;
      const from = origin(join(src, file), word);
      if (existsSync(join(src, from.split('#')[0]!)) && !open.has(from)) hidden.add(`${word} (${from}) in ${name}`);
    }
  }
  return [...hidden].sort();
}

for (const entry of ['index.d.ts', 'fd/fd-passing.d.ts'])
  test(`${entry}: every type in a signature is exported`, () => {
    assert.equal(hiddenTypes(entry).join('\n'), '');
  });
