import assert from 'node:assert/strict';
import { test } from 'node:test';
import { table } from '../../src/cli/table.js';

// What `cfsctl oci images` printed for a repository with these three images.
const printedByCfsctl = `
┌───────────────────────────────────────┬──────────────┬──────────┬────────┬──────┐
│ NAME                                  ┆ DIGEST       ┆ ARCH     ┆ LAYERS ┆ REFS │
╞═══════════════════════════════════════╪══════════════╪══════════╪════════╪══════╡
│ containers-storage:localhost/alpha:v2 ┆ 06e092d76dd4 ┆ amd64    ┆ 2      ┆ 0    │
├╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌┼╌╌╌╌╌╌╌╌╌╌╌╌╌╌┼╌╌╌╌╌╌╌╌╌╌┼╌╌╌╌╌╌╌╌┼╌╌╌╌╌╌┤
│ alpha:v1                              ┆ 168f42f2fa83 ┆ amd64    ┆ 1      ┆ 0    │
├╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌┼╌╌╌╌╌╌╌╌╌╌╌╌╌╌┼╌╌╌╌╌╌╌╌╌╌┼╌╌╌╌╌╌╌╌┼╌╌╌╌╌╌┤
│ b/docker                              ┆ f0cdbd57a8c6 ┆ artifact ┆ 2      ┆ 0    │
└───────────────────────────────────────┴──────────────┴──────────┴────────┴──────┘`;

test('a table looks as cfsctl draws it', () => {
  const rows = [
    ['containers-storage:localhost/alpha:v2', '06e092d76dd4', 'amd64', '2', '0'],
    ['alpha:v1', '168f42f2fa83', 'amd64', '1', '0'],
    ['b/docker', 'f0cdbd57a8c6', 'artifact', '2', '0'],
  ];
  assert.equal(table(['NAME', 'DIGEST', 'ARCH', 'LAYERS', 'REFS'], rows), printedByCfsctl.trim());
});

test('a name cannot send escape sequences, and wide characters take two columns', () => {
  const lines = table(['NAME'], [['\x1b[31m'], ['日本']]).split('\n');
  assert.equal(lines[3], '│ \\x1b[31m │');
  assert.equal(lines[5], '│ 日本     │');
});
