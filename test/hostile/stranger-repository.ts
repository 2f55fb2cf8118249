import { createHash } from 'node:crypto';
import { spawn, spawnSync, type ChildProcess, type SpawnSyncReturns } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { fastFolder } from '../support/fast-folder.js';
import { writeLayout } from '../support/images/oci-layout.js';
import { asAttacker, ATTACKER } from './attack.js';

const command = fileURLToPath(new URL('../../../bin/cfsbridge', import.meta.url));
const native = new URL('../../src/native.js', import.meta.url).href;

/** A folder that everybody may enter, for repositories of the attacker; `secret` in it is for root alone. */
export function scene(t: TestContext, place = fastFolder): { folder: string; repository: string; secret: string } {
  const folder = mkdtempSync(join(place, 'hostile-'));
  // Not by Node, whose paths have an end.
  t.after(() => spawnSync('rm', ['-rf', folder]));
  chmodSync(folder, 0o755);
  const secret = join(folder, 'secret');
  mkdirSync(secret, { mode: 0o700 });
  for (let i = 0; i < 20; i++) writeFileSync(join(secret, `file${i}`), 'root only');
  return { folder, repository: join(folder, 'repository'), secret };
}

/** Gives a folder and all in it to the attacker. */
export function giveAway(path: string): void {
  const { status, stderr } = spawnSync('chown', ['-R', '-h', `${ATTACKER}:${ATTACKER}`, path], { encoding: 'utf8' });
  if (status !== 0) throw new Error(stderr);
}

/** Runs the command as its users do. */
export function cfsbridge(args: readonly string[], env: NodeJS.ProcessEnv = {}): SpawnSyncReturns<string> {
  return spawnSync(command, args, { encoding: 'utf8', env: { ...process.env, ...env }, timeout: 120_000 });
}

/** The attacker exchanges names of one folder with those of another, over and over, until this is disposed. */
export class Swapping implements Disposable {
  readonly #process: ChildProcess;

  private constructor(process: ChildProcess) {
    this.#process = process;
  }

  /** @param pairs paths of what is exchanged */
  static async start(pairs: readonly (readonly [string, string])[]): Promise<Swapping> {
    const program = `
      const { files } = await import(${JSON.stringify(native)});
      const pairs = ${JSON.stringify(pairs)};
      process.stdout.write('ready');
      for (;;) for (const [one, other] of pairs) try { files.renameat2(-100, one, -100, other, 2); } catch {}`;
    const [run = '', ...options] = asAttacker;
    const child = spawn(run, [...options, process.execPath, '--input-type=module', '-e', program], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    await once(child.stdout!, 'data');
    return new Swapping(child);
  }

  [Symbol.dispose](): void {
    this.#process.kill('SIGKILL');
  }
}

/** An OCI layout with an image of one layer, whose files become objects. */
export function imageLayout(folder: string): { layout: string; diffId: string } {
  const tree = join(folder, 'tree');
  mkdirSync(join(tree, 'usr'), { recursive: true });
  for (let i = 0; i < 24; i++) writeFileSync(join(tree, `file${i}`), `content ${i} `.repeat(20));
  const tar = spawnSync('tar', ['-C', tree, '--sort=name', '--mtime=@0', '-c', '.'], { maxBuffer: 1 << 24 }).stdout;
  const layout = join(folder, 'layout');
  writeLayout(layout, [tar]);
  return { layout, diffId: `sha256:${createHash('sha256').update(tar).digest('hex')}` };
}
