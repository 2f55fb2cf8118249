import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { test } from 'node:test';
import { TRANSPORTS } from '../../src/oci/source/transports.js';

const { bundleOf } = createRequire(import.meta.url)('../../src/cli/bundle.cjs') as {
  bundleOf(called: string, args: readonly string[]): string;
};

test('a pull from what is on this machine, and the version, have a bundle of their own', () => {
  for (const line of [
    'oci pull containers-storage:a',
    '--repo a oci pull --local-fetch auto containers-storage:a b',
    '--insecure --repo=a oci pull oci:a --json',
    'oci pull --help',
    '--version',
    '-V',
  ])
    for (const called of ['cfsbridge', 'cfsctl', 'any'])
      assert.equal(bundleOf(called, line.split(' ')), 'pull', `${called} ${line}`);
});

test('commits from what is on this machine have one, too', () => {
  for (const line of ['ostree pull-local a b', '--repo a ostree apply-delta b', '--insecure ostree pull-local --help'])
    assert.equal(bundleOf('cfsbridge', line.split(' ')), 'commits', line);
  for (const line of ['ostree', 'ostree inspect pull-local', '--hash sha256 ostree pull-local a b'])
    assert.equal(bundleOf('cfsbridge', line.split(' ')), 'commands', line);
});

test('commits from a server have one', () => {
  for (const line of ['ostree pull a b', '--repo a ostree pull file:///a b', '--insecure ostree pull --help'])
    assert.equal(bundleOf('cfsbridge', line.split(' ')), 'remote', line);
  for (const line of ['ostree inspect pull', 'ostree list-refs a', '--hash sha256 ostree pull a b'])
    assert.equal(bundleOf('cfsbridge', line.split(' ')), 'commands', line);
});

test('every other command has the bundle with all of them', () => {
  for (const line of [
    '',
    'oci',
    'pull',
    'oci images',
    '--repo oci pull a',
    '--repo oci oci inspect pull',
    '--help oci pull',
    'oci tag oci pull',
    'gc oci pull',
    '--version gc',
    'gc --version',
    'mkcomposefs oci pull',
    '--hash sha256 oci pull containers-storage:a',
    'oci pull --socket a containers-storage:a',
    'oci pull --socket=a containers-storage:a',
    'oci pull --proxy containers-storage:a',
    'oci pull --proxy-command a oci:a',
  ])
    assert.equal(bundleOf('cfsbridge', line.split(' ')), 'commands', line);
  for (const called of ['mkcomposefs', 'composefs-info'])
    assert.equal(bundleOf(called, ['oci', 'pull', 'dir:a']), 'commands', called);
});

test('a pull from a registry or a daemon, both of which need HTTP, or through a proxy, has that, too', () => {
  for (const [name, { inRegistry, proxied }] of Object.entries(TRANSPORTS)) {
    const bundle = inRegistry || proxied || name === 'docker-daemon' ? 'commands' : 'pull';
    assert.equal(bundleOf('cfsbridge', ['oci', 'pull', `${name}:a`]), bundle, name);
  }
});
