// Compiles the bundled commands ahead of time, for the Node that installs the package and with the flags that bin/*
// have.
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));

// npm installs the packages of a checkout before anything is built.
if (existsSync(join(root, 'dist/cli/commands.cjs'))) {
  const [, flags] = / exec node (.*) "\$0"/.exec(readFileSync(join(root, 'bin/cfsbridge'), 'utf8'));
  const { status } = spawnSync(
    process.execPath,
    [...flags.split(' '), '-e', `require('./dist/src/cli/bundle.cjs').writeCodeCaches()`],
    { cwd: root, stdio: 'inherit' },
  );
  process.exitCode = status ?? 1;
}
