// run-tests.mjs unit|hostile|interop   runs the compiled tests; ends with one line `N passed, N failed, N skipped`
//
// Unit tests run twice: on this Node and on the current one, which comes from npm's `node` package. Tests
// against real programs run once, they are about the programs. So do attacks, faults and repairs: what they try is this
// package's own, and takes two fifths of the time. Exit status 1 when anything failed.
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const currentMajor = 26;
const once = /^dist\/test\/(hostile|faults|oci\/repair)\//;
/** More than processors: many tests wait. */
const concurrency = availableParallelism() + 1;
const root = dirname(dirname(fileURLToPath(import.meta.url)));
process.chdir(root);

const kind = process.argv[2];
const wanted = {
  unit: (name) => !/^(interop|vm)\//.test(name),
  hostile: (name) => name.startsWith('hostile/'),
  interop: (name) => name.startsWith('interop/'),
}[kind];
if (wanted === undefined) throw new Error(`run-tests.mjs: unknown kind of test: ${kind}`);

// What each attack came to: `test/hostile/attack.ts` adds a line for each.
const attacks = join('.cache', `attacks-${process.pid}`);
if (kind === 'hostile') {
  mkdirSync('.cache', { recursive: true });
  process.env.CFSBRIDGE_ATTACKS = attacks;
}

const total = { passed: 0, failed: 0, skipped: 0 };
const files = readdirSync('dist/test', { recursive: true })
  .filter((name) => name.endsWith('.test.js') && wanted(name))
  .sort()
  .map((name) => join('dist/test', name));

if (files.length === 0) {
  console.log(`FAILED: there are no ${kind} tests in dist/test`);
  total.failed++;
} else {
  run(process.execPath, files);
  if (kind === 'unit') runOnCurrentNode();
}
if (existsSync(attacks)) {
  console.log(
    ['| attack | outcome |', '| --- | --- |', ...readFileSync(attacks, 'utf8').trimEnd().split('\n').sort()].join('\n'),
  );
  rmSync(attacks);
}
console.log(`${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped`);
process.exit(total.failed > 0 ? 1 : 0);

function run(node, files) {
  const version = execFileSync(node, ['--version'], { encoding: 'utf8' }).trim();
  console.log(`test: ${files.length} files of ${kind} tests on Node ${version}`);
  mkdirSync('.cache', { recursive: true });
  const counts = join('.cache', `counts-${process.pid}.json`);
  const reporters = [
    ['./dist/test/support/reporter.js', 'stdout'],
    ['./dist/test/support/reporter-counts.js', counts],
  ].flatMap(([reporter, to]) => [`--test-reporter=${reporter}`, `--test-reporter-destination=${to}`]);
  const { status } = spawnSync(node, ['--test', `--test-concurrency=${concurrency}`, ...reporters, ...files], {
    stdio: 'inherit',
  });
  const result = existsSync(counts) ? JSON.parse(readFileSync(counts, 'utf8') || '{}') : {};
  rmSync(counts, { force: true });
  for (const key of Object.keys(total)) total[key] += result[key] ?? 0;
  // A run that breaks off, or fails beside its tests, must not look like a good one.
  if (status !== 0 && !result.failed) {
    console.log(`FAILED: the test run ended with status ${status}`);
    total.failed++;
  }
}

function runOnCurrentNode() {
  if (Number(process.versions.node.split('.')[0]) >= currentMajor) return;
  const node = join(root, '.cache/node-current/node_modules/node/bin/node');
  const problem = existsSync(node) ? undefined : installCurrentNode(node);
  if (problem === undefined) {
    // As if the package had been installed with that one.
    spawnSync(node, ['scripts/code-cache.mjs'], { stdio: 'inherit' });
    const again = files.filter((name) => !once.test(name));
    console.log(`test: not again on Node ${currentMajor}: attacks, faults and repairs, which passed or failed above`);
    return run(node, again);
  }
  console.log(`skipped the run on Node ${currentMajor}: ${problem}`);
  total.skipped++;
}

/** Returns why it did not work, or undefined. */
function installCurrentNode(node) {
  const args = ['install', '--prefix', '.cache/node-current', '--no-audit', '--no-fund', '--loglevel=error'];
  const { status, stderr } = spawnSync('npm', [...args, `node@${currentMajor}`], { encoding: 'utf8' });
  if (status !== 0) return `npm cannot install it: ${stderr.trim().split('\n')[0]}`;
  // The package's install script puts the program in place; npm may be set up not to run such scripts.
  if (!existsSync(node)) spawnSync(process.execPath, ['installArchSpecificPackage'], { cwd: dirname(dirname(node)) });
  return existsSync(node) ? undefined : 'its npm package came without the program';
}
