import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { cases, type Case } from './cases.js';

const IMAGES = ['base', 'mid', 'many', 'big'];

export interface Options {
  cases: readonly Case[];
  images: readonly string[];
  /** runs of each program that count; one more before them does not */
  repetitions: number;
  /** file for the samples */
  json: string | undefined;
  /** rewrite the page */
  write: boolean;
  /** graphroot with the images */
  store: string;
  cfsctl: string;
  /** folder of the other programs */
  peers: string;
}

export function usage(): string {
  return `Usage: make bench [ARGS="OPTION…"]

  --cases A,B    only these: ${cases.map(({ name }) => name).join(', ')}
  --images A,B   only these of ${IMAGES.join(', ')}
  -n NUMBER      how often each program runs, not counting one run to warm up (default 5)
  --json FILE    write all samples to FILE, anew after each line of a table
  --write        rewrite these tables in docs/performance.md, and the chart beside it when all are measured

The store is $CFSBRIDGE_STORE, or share/store in $CFSBRIDGE_PEERS (default /var/tmp/peers); cfsctl is bin/cfsctl there.`;
}

/** @returns undefined when help was asked for. @throws TypeError for arguments and paths that cannot be used */
export function parseOptions(args: readonly string[], environment: NodeJS.ProcessEnv): Options | undefined {
  const { values } = parseArgs({
    args: [...args],
    options: {
      cases: { type: 'string' },
      images: { type: 'string' },
      n: { type: 'string', short: 'n', default: '5' },
      json: { type: 'string' },
      write: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  if (values.help) return undefined;
  const repetitions = Number(values.n);
  if (!Number.isInteger(repetitions) || repetitions < 1) throw new TypeError(`-n ${values.n}: not a number of runs`);
  const peers = environment['CFSBRIDGE_PEERS'] ?? '/var/tmp/peers';
  const names = chosen(
    '--cases',
    values.cases,
    cases.map(({ name }) => name),
  );
  return {
    cases: cases.filter(({ name }) => names.includes(name)),
    images: chosen('--images', values.images, IMAGES),
    repetitions,
    json: values.json,
    write: values.write,
    store: existing(environment['CFSBRIDGE_STORE'] ?? join(peers, 'share/store'), 'the store', 'mkstore.sh'),
    peers,
    cfsctl: existing(join(peers, 'bin/cfsctl'), 'cfsctl', 'peers.sh'),
  };
}

function chosen(option: string, list: string | undefined, all: readonly string[]): readonly string[] {
  const names = list?.split(',');
  const unknown = names?.find((name) => !all.includes(name));
  if (unknown !== undefined) throw new TypeError(`${option} ${unknown}: there is ${all.join(', ')}`);
  return all.filter((name) => names?.includes(name) ?? true);
}

function existing(path: string, what: string, maker: string): string {
  if (!existsSync(path)) throw new TypeError(`${what} is not at ${path}; scripts/${maker} makes it`);
  return path;
}
