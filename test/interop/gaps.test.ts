// docs/cfsctl.md names everything of cfsctl's command line that ours does not take.
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import type { Command } from 'commander';
import { createProgram } from '../../src/cli/program.js';
import type { Session } from '../../src/cli/session.js';
import { cfsctl, succeed } from './peers.js';

const page = readFileSync(new URL('../../../docs/cfsctl.md', import.meta.url), 'utf8');
const [, table = ''] = /^## Commands\n([^]*?)^## /m.exec(page) ?? [];
const [, missing = ''] = /^## What is missing\n([^]*?)^## /m.exec(page) ?? [];

interface Theirs {
  words: string[];
  help: string;
}

/** All commands of cfsctl that some help lists, and cfsctl itself. */
function* theirs(words: string[] = []): Generator<Theirs> {
  const help = succeed(cfsctl, [...words, '--help']);
  yield { words, help };
  const [, list = ''] = /^Commands:\n([^]*?)^(?:Options|Arguments):/m.exec(help) ?? [];
  for (const [, name] of list.matchAll(/^ {2}([a-z][a-z-]*)/gm)) if (name !== 'help') yield* theirs([...words, name!]);
}

function ours(words: readonly string[]): Command | undefined {
  let at: Command | undefined = createProgram({} as Session);
  for (const word of words) at = at?.commands.find((command) => command.name() === word);
  return at;
}

/** The options that a command takes, hidden ones and those of the commands above it included. */
function* takes(command: Command): Generator<string> {
  yield '--help';
  for (let at: Command | null = command; at !== null; at = at.parent)
    for (const option of at.options) yield option.long!;
}

describe('the command line of cfsctl', {
  skip: existsSync(cfsctl) ? false : 'cfsctl is not there; scripts/peers.sh installs it',
}, () => {
  test('each command and option is taken, or named as missing', () => {
    const unnamed: string[] = [];
    let options = 0;
    for (const { words, help } of theirs()) {
      const command = ours(words);
      if (command === undefined) {
        if (!missing.includes(`\`${words.join(' ')}\``)) unnamed.push(words.join(' '));
        continue;
      }
      const known = new Set(takes(command));
      for (const [, option] of help.matchAll(/^ +(?:-\w, )?(--[a-z-]+)/gm)) {
        options++;
        if (!known.has(option!) && !missing.includes(option!)) unnamed.push([...words, option].join(' '));
      }
    }
    assert.ok(options > 60, `only ${options} options were found`);
    assert.deepEqual(unnamed, []);
  });

  test('each command has its row in the table, or is named as missing', () => {
    const commands = [...theirs()].filter(({ help }) => !/^Commands:/m.test(help)).map(({ words }) => words.join(' '));
    assert.deepEqual(
      commands.filter((words) => !`${table}${missing}`.includes(`\`${words}\``)),
      [],
    );
    assert.deepEqual(
      commands
        .filter((words) => words.startsWith('ostree '))
        .map((words) => words.slice('ostree '.length))
        .sort(),
      [
        ...['apply-delta', 'commit', 'compute-id', 'dump', 'export', 'images', 'inspect', 'list-refs', 'mount'],
        ...['pull', 'pull-local', 'tag', 'untag'],
      ],
    );
  });

  test('each value of an option that has a list is taken, or named as missing', () => {
    const unnamed: string[] = [];
    let values = 0;
    for (const { words, help } of theirs()) {
      const command = ours(words);
      if (command === undefined) continue;
      for (const [, option, text] of help.matchAll(/^ +(?:-\w, )?(--[a-z-]+) <[^>]*>\n((?: {10}.*\n|\n)*)/gm)) {
        const listed = [
          ...(text!.match(/\[possible values: (.*?)\]/)?.[1]?.split(', ') ?? []),
          ...[...text!.matchAll(/^ +- ([a-z0-9-]+):/gm)].map(([, value]) => value!),
        ];
        let at: Command | null = command;
        while (at !== null && !at.options.some(({ long }) => long === option)) at = at.parent;
        const choices = at?.options.find(({ long }) => long === option)?.argChoices;
        values += choices === undefined ? 0 : listed.length;
        for (const value of listed)
          if (choices !== undefined && !choices.includes(value) && !missing.includes(`${option} ${value}`))
            unnamed.push([...words, option, value].join(' '));
      }
    }
    assert.ok(values > 10, `only ${values} values were found`);
    assert.deepEqual(unnamed, []);
  });

  test('what is named as missing is missing', () => {
    assert.equal(ours(['mount.composefs']), undefined);
    assert.ok(
      !ours(['mount'])!
        .options.find(({ long }) => long === '--fuse')!
        .argChoices!.includes('yes'),
    );
  });
});
