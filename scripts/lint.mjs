// lint.mjs [FOLDER]   checks the sources of this checkout, or of FOLDER
//
// Ends with one line `N passed, N failed, N skipped`.
//
// Rules and their exceptions are in .oxlintrc.json, knip.jsonc, biome.json and .clang-format. Exit status 1 when
// anything failed.
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
process.chdir(process.argv[2] ?? root);
const WIDTH = 120;
/** Longer lines that cannot be wrapped, or say more when they are not. */
const MAY_BE_LONG = [
  // The title of a test, which is looked for as a whole.
  /^ *(test|describe|attack)\(/,
  // A regular expression.
  /^[ :?]*\/.*\/[a-z]*(\.test\(|[,;.]?)$/,
];
/** Files with longer lines, and what these are. */
const HAVE_LONG = {
  'src/cli/completion/': 'functions of shells, as they are printed',
  'bench/options.ts': 'help, as it is printed',
  'test/hostile/': 'programs of attackers',
  'test/interop/': 'programs for the guest',
  'test/cli/linking-mount.test.ts': 'a script of a shell',
  'test/cli/merged-output.test.ts': 'a program in Python',
  'test/faults/hostile-varlink-server.test.ts': 'messages, as they are sent',
  'test/oci/source/odd-documents.test.ts': 'archives in one expression',
  'test/registry-hosts.test.ts': 'a list of hosts',
  'test/registry/registries-conf.test.ts': 'a file, as it is written',
  'test/support/': 'names and addresses in one expression',
};
/** Of what the linters have no rule for. Constructors have to be `private`: there is no `#constructor`. */
const DIALECT = [
  [/^ +(private|public) (?!constructor\()/, 'private members begin with #, and all others are public'],
  [/[\w\])!] [+-]= 1[;,)]/, 'that is ++ or --'],
];
const FOLDERS = ['src', 'test', 'bench', 'scripts', 'native', 'examples'].filter((folder) => existsSync(folder));

const total = { passed: 0, failed: 0, skipped: 0 };
check('promises, circular imports, suspicious code', npm('oxlint', '--report-unused-disable-directives'));
check('unused exports, files and packages', npm('knip', '--no-progress', '--no-config-hints'));
check('format of TypeScript', npm('biome', 'format'));
const native = files(['native', 'bench'], /\.(cc|h)$/);
check('format of C++', ['clang-format', '--dry-run', '-Werror', ...native]);
checkLines();
checkDialect();
console.log(`${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped`);
process.exit(total.failed > 0 ? 1 : 0);

function npm(name, ...args) {
  return [join(root, 'node_modules/.bin', name), ...args];
}

function files(folders, pattern) {
  return folders
    .filter((folder) => FOLDERS.includes(folder))
    .flatMap((folder) => readdirSync(folder, { recursive: true }).map((name) => join(folder, name)))
    .filter((name) => pattern.test(name))
    .sort();
}

/** What formatters leave as it is: strings and comments. */
function checkLines() {
  const long = files(['src', 'test', 'bench', 'scripts', 'native'], /\.(c?ts|mjs|cc|h)$/)
    .filter((name) => !Object.keys(HAVE_LONG).some((start) => name.startsWith(start)))
    .flatMap((name) =>
      readFileSync(name, 'utf8')
        .split('\n')
        .map((line, index) => [`${name}:${index + 1}`, line]),
    )
    .filter(([, line]) => line.length > WIDTH && !MAY_BE_LONG.some((expression) => expression.test(line)))
    .map(([place, line]) => `${place}: ${line.length} characters\n`);
  count(`lines of at most ${WIDTH} characters`, long.length === 0, long.join(''));
}

function checkDialect() {
  const other = files(['src'], /\.c?ts$/).flatMap((name) =>
    readFileSync(name, 'utf8')
      .split('\n')
      .flatMap((line, index) =>
        DIALECT.filter(([expression]) => expression.test(line)).map(([, what]) => `${name}:${index + 1}: ${what}\n`),
      ),
  );
  count('one dialect', other.length === 0, other.join(''));
}

function check(what, [program, ...args]) {
  const { status, error, stdout, stderr } = spawnSync(program, args, { encoding: 'utf8', maxBuffer: 2 ** 26 });
  if (error?.code === 'ENOENT') {
    console.log(`skipped: ${what}: there is no ${program}`);
    total.skipped++;
  } else count(what, status === 0, `${error?.message ?? ''}${stdout}${stderr}`);
}

function count(what, good, output) {
  if (good) total.passed++;
  else {
    console.log(`${output}FAILED: ${what}`);
    total.failed++;
  }
}
