// test-asan.mjs   runs the tests that drive the addon with an addon that AddressSanitizer and
// UndefinedBehaviorSanitizer watch
//
// It is built into a package folder of its own, .cache/asan, with links to the sources and a copy of dist/: the code
// finds its addon beside itself. libasan has to be in the process first, so it is preloaded into Node. Exit status 1
// when a test fails or either sanitizer says something. Leaks are not looked for: V8 does not give back what lives as
// long as the process.
import { execFileSync, spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readdirSync, rmSync, symlinkSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const folder = join(root, '.cache/asan');
const linked = [
  'native',
  'binding.gyp',
  'package.json',
  'node_modules',
  'bin',
  'proto',
  'fixtures',
  'scripts',
  'docs',
  'src',
  'examples',
];

/** What drives the addon, in this process or in commands that it starts; what only computes is left out. */
const tests = [
  'compress/zstd-dictionary',
  'fd/',
  'fsverity/',
  'tree/',
  'hostile/bounds-native',
  'repository/objects',
  'repository/gc/objects',
  'repository/fsck/objects',
  'repository/splitstream',
  'ostree/pull/',
  'storage/extract/',
  'storage/tar-split',
  'cli/merged-output',
  'oci/pull/import-defects',
  'service/locks',
];

const runtime = execFileSync('g++', ['-print-file-name=libasan.so'], { encoding: 'utf8' }).trim();
if (!runtime.startsWith('/')) {
  console.log('test-asan: g++ comes without libasan here');
  process.exit(1);
}

mkdirSync(folder, { recursive: true });
for (const name of linked)
  if (existsSync(join(root, name)) && !existsSync(join(folder, name)))
    symlinkSync(join(root, name), join(folder, name));
rmSync(join(folder, 'dist'), { recursive: true, force: true });
cpSync(join(root, 'dist'), join(folder, 'dist'), { recursive: true });

// Sources that are hardened with _FORTIFY_SOURCE call functions which the sanitizer does not watch.
const flags =
  '-O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=undefined -U_FORTIFY_SOURCE';
const built = spawnSync(process.execPath, [join(root, 'scripts/build-addon.mjs'), folder], {
  stdio: 'inherit',
  env: { ...process.env, CXXFLAGS: flags, LDFLAGS: '-fsanitize=address,undefined' },
});
if (built.status !== 0) process.exit(1);

const files = readdirSync(join(folder, 'dist/test'), { recursive: true })
  .filter((name) => name.endsWith('.test.js') && tests.some((start) => name.startsWith(start)))
  .sort()
  .map((name) => join('dist/test', name));
// What a sanitizer finds in a command that a test starts may not make that test fail.
const reports = join(folder, 'reports');
rmSync(reports, { recursive: true, force: true });
mkdirSync(reports, { mode: 0o777 });
const { status } = spawnSync(
  process.execPath,
  ['--test', '--test-concurrency=2', '--test-reporter=./dist/test/support/reporter.js', ...files],
  {
    cwd: folder,
    stdio: 'inherit',
    env: {
      ...process.env,
      LD_PRELOAD: runtime,
      ASAN_OPTIONS: `detect_leaks=0:log_path=${reports}/report`,
      UBSAN_OPTIONS: `print_stacktrace=1:log_path=${reports}/report`,
    },
  },
);
const found = readdirSync(reports);
for (const name of found) console.log(execFileSync('head', ['-40', join(reports, name)], { encoding: 'utf8' }));
console.log(`test-asan: ${files.length} files of tests, status ${status}, ${found.length} reports of the sanitizers`);
process.exit(status === 0 && found.length === 0 ? 0 : 1);
