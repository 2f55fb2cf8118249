import type { Command } from 'commander';
import { Output } from '../../../src/cli/output.js';
import { createProgram } from '../../../src/cli/program.js';
import { cfsctl, succeed } from '../peers.js';

/** Names of commands (`oci pull`, `''` for the program itself) and their long options. */
export type Grammar = Map<string, Set<string>>;

/** What cfsctl says it takes, command by command. */
export function theirGrammar(command = '', found: Grammar = new Map()): Grammar {
  const help = succeed(cfsctl, [...command.split(' ').filter(Boolean), '--help']);
  found.set(command, new Set([...help.matchAll(/^ {2}(?:-\w, | {4})--([a-z-]+)/gm)].map(([, name]) => name ?? '')));
  const [, commands = ''] = /^Commands:\n([^]*?)\n\n/m.exec(help) ?? [];
  for (const [, name] of commands.matchAll(/^ {2}([a-z-]+)/gm))
    if (name !== 'help') theirGrammar(`${command} ${name}`.trim(), found);
  return found;
}

/** What we take, hidden options and aliases included. */
export function ourGrammar(): Grammar {
  const found: Grammar = new Map();
  const visit = (command: Command, name: string): void => {
    const options = command.options.map(({ long }) => long?.slice(2) ?? '');
    found.set(name, new Set(['help', ...options]));
    for (const sub of command.commands)
      for (const called of [sub.name(), ...sub.aliases()]) visit(sub, `${name} ${called}`.trim());
  };
  const { signal } = new AbortController();
  visit(createProgram({ signal, out: new Output(process.stdout, signal) }), '');
  return found;
}
