import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { openSource, referenceForms } from '../../../src/oci/source/open.js';
import { TRANSPORTS } from '../../../src/oci/source/transports.js';
import { runCli } from '../../support/cli/run-cli.js';

const plainText = (text: string): string => text.replace(/\s+/g, ' ');

test('every transport of the table is in the documentation and in the help', () => {
  const docs = readFileSync(new URL('../../../../docs/sources.md', import.meta.url), 'utf8');
  const help = plainText(runCli(['oci', 'pull', '--help']).stdout);
  for (const form of referenceForms()) {
    assert.ok(docs.includes(`\`${form}\``), `docs/sources.md lacks ${form}`);
    assert.ok(help.includes(form), `oci pull --help lacks ${form}`);
  }
  for (const command of ['inspect', 'tags'])
    assert.ok(
      plainText(runCli(['oci', command, '--help']).stdout).includes(referenceForms(true).join(' or ')),
      command,
    );
});

test('every transport of the table is completed, and named to whoever uses none of them', async () => {
  for (const [name, { form }] of Object.entries(TRANSPORTS)) {
    const word = `${name}:${form.startsWith('//') ? '//' : ''}`;
    const env = { ...process.env, COMPLETE: 'bash', _CLAP_COMPLETE_INDEX: '3' };
    const offered = runCli(['--', 'cfsbridge', 'oci', 'pull', name], { env }).stdout.split('\n');
    assert.ok(offered.includes(word), `${word} is not among ${offered.join(', ')}`);
  }
  await assert.rejects(openSource('nonsense:x'), (error: Error) =>
    Object.keys(TRANSPORTS).every((name) => error.message.includes(`${name}:`)),
  );
});

test('the slashes of docker:// are asked for', async () => {
  await assert.rejects(openSource('docker:debian'), { code: 'BAD_REFERENCE', message: /docker:\/\/debian/ });
  await assert.rejects(openSource('docker:'), { code: 'BAD_REFERENCE', message: /: docker:\/\/$/ });
});
