// Layers of any shape cost time and memory as their entries and the bytes of their names do. Measuring that takes
// minutes, so `make test` does it on the first Node alone.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runCli } from '../support/cli/run-cli.js';
import { attack } from './attack.js';
import { measured } from './measure.js';
import { SHAPES, writeShapes } from './shapes.js';

const [FEW, MANY] = [10_000, 100_000];
const RATIO = 15;

for (const [name, shape] of Object.entries(SHAPES))
  attack(`${MANY} entries ${name}`, {}, async (t) => {
    const runs = [];
    for (const count of [FEW, MANY]) {
      const { folder, repo } = places(t);
      writeShapes(folder, [shape(count)]);
      const costs = new Map<string, number>();
      for (const args of [
        ['pull', `oci:${folder}`, 'x'],
        ['dump', 'x'],
      ]) {
        const run = await measured(['--repo', repo, 'oci', ...args], { limit: 180 });
        assert.equal(run.status, 0, `${args.join(' ')}: ${run.stderr}`);
        assert.ok(run.mebibytes < 450, `${args[0]}: ${run.mebibytes} MiB`);
        costs.set(args[0] as string, run.seconds);
      }
      runs.push(costs);
      rmSync(folder, { recursive: true });
    }
    const [few, many] = runs as [Map<string, number>, Map<string, number>];
    const outcome = [...few].map(([command, seconds]) => {
      const more = many.get(command) as number;
      assert.ok(more / seconds <= RATIO, `${command}: ${more} s, and ${seconds} s for a tenth of the entries`);
      return `${command} ${seconds.toFixed(1)} s and ${more.toFixed(1)} s`;
    });
    return `for ${FEW} and ${MANY}: ${outcome.join(', ')}`;
  });

function places(t: { after(fn: () => void): void }): { folder: string; repo: string } {
  const [folder, repo] = [mkdtempSync(join(tmpdir(), 'bounds-layout-')), mkdtempSync(join(tmpdir(), 'bounds-shapes-'))];
  t.after(() => [folder, repo].forEach((path) => rmSync(path, { recursive: true, force: true })));
  assert.equal(runCli(['init', '--insecure', repo]).status, 0);
  return { folder, repo };
}
