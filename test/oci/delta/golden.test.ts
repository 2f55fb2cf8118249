// Deltas of the Go programs, and such as they do not make, as cfsctl 0.9.4 took or refused them: see
// fixtures/delta/README.md.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import type { ErofsVersion } from '../../../src/erofs/format/options.js';
import { BridgeError } from '../../../src/errors.js';
import { applyDelta } from '../../../src/oci/delta/apply.js';
import { isDeltaSource } from '../../../src/oci/delta/delta.js';
import { openConfig } from '../../../src/oci/image/image.js';
import { pullImage } from '../../../src/oci/pull/pull.js';
import type { PullResult } from '../../../src/oci/pull/types.js';
import { openSource } from '../../../src/oci/source/open.js';
import { collectGarbage } from '../../../src/repository/gc/gc.js';
import { initRepository } from '../../../src/repository/init.js';
import { layerContentId } from '../../../src/repository/names.js';
import { Repository } from '../../../src/repository/repository.js';
import { listTagNames, removeTag } from '../../../src/repository/tags.js';
import { fixture, fixtureJson, fixtureNames } from '../../support/fixtures.js';
import { withoutLeak } from '../../support/open-fds.js';
import { scratch } from '../../support/scratch.js';

interface Step {
  args?: string[];
  global?: string[];
  do?: 'write' | 'remove' | 'direct';
  path?: string;
  text?: string;
  seen?: { rc: number; stderr: string; state?: { oci?: RecordedImages } };
  right?: { rc?: number; rc_either?: boolean; result?: string; no_new_tags?: boolean; note: string };
}

interface RecordedImages {
  layers: Record<string, { size: number; stream_object: string }>;
  configs: Record<string, { stream_object: string; named_refs: Record<string, string> }>;
  images: string[];
  tags: Record<string, string>;
}

interface Session {
  title: string;
  algorithm: 'sha256' | 'sha512';
  erofs_version: ErofsVersion;
  steps: Step[];
}

interface Case {
  sessions: Session[];
  'oci-delta apply --verify-key'?: Record<string, { rc: number }>;
}

function source(t: TestContext, name: string): string {
  const folder = scratch(t);
  execFileSync('tar', ['-C', folder, '--numeric-owner', '-xpf', '-'], { input: fixture(`delta/${name}/source.tar`) });
  return folder;
}

async function openRepository(path: string): Promise<Repository> {
  return Repository.open(path, { write: true });
}

function init(path: string, { algorithm, erofs_version: erofsVersion }: Session): void {
  initRepository(path, { algorithm, erofsVersion, insecure: true });
}

async function pull(
  repository: Repository,
  reference: string,
  name: string | undefined,
  step: Step,
): Promise<PullResult> {
  await using image = await openSource(reference, { platform: { os: 'linux', architecture: 'amd64' } });
  const at = step.global?.indexOf('--erofs-version') ?? -1;
  const options = {
    name: name ?? reference,
    erofsVersion: at < 0 ? undefined : (Number(step.global?.[at + 1]) as ErofsVersion),
    bootable: step.args?.includes('--bootable') === true,
  };
  return await (isDeltaSource(image) ? applyDelta : pullImage)(repository, image, options);
}

/** Streams by their names, and images: all that a pull makes, and two programs have to agree on. */
async function state(repository: Repository, { configDigest, layers, images }: PullResult): Promise<object> {
  const { stream, namedRefs } = await openConfig(repository, configDigest);
  return {
    layers: layers.map(({ diffId, stream: layer }) => [diffId, layer]),
    named: layers.map(({ diffId }) => repository.streamObject(layerContentId(diffId))),
    config: [configDigest, stream, [...namedRefs]],
    images: [...images],
  };
}

/** The folder whose image has this manifest. */
function targetOf(folder: string, manifest: string): string {
  const found = readdirSync(folder, { recursive: true, encoding: 'utf8' }).find(
    (name) =>
      name.endsWith('index.json') &&
      (JSON.parse(readFileSync(join(folder, name), 'utf8')) as { manifests: { digest: string }[] }).manifests.some(
        ({ digest }) => digest === manifest,
      ),
  );
  return `oci:${dirname(join(folder, found ?? assert.fail(`no folder has ${manifest}`)))}`;
}

async function run(t: TestContext, folder: string, session: Session): Promise<number> {
  const work = scratch(t);
  const repo = join(work, 'repo');
  init(repo, session);
  let pulls = 0;
  for (const step of session.steps) {
    const place = (text: string): string => text.replace('SRC', folder).replace('REPO', repo).replace('OUT', work);
    if (step.do === 'remove') rmSync(place(step.path!));
    if (step.do === 'write') {
      const path = place(step.path!);
      rmSync(path, { force: true });
      mkdirSync(dirname(path), { recursive: true });
      writeFileSync(path, step.text!);
    }
    const [command, what] = step.args ?? [];
    if (step.do !== undefined || step.seen === undefined) continue;
    using repository = await openRepository(repo);
    if (command === 'gc') await collectGarbage(repository);
    if (what === 'untag') removeTag(repository, step.args!.at(-1)!);
    if (what !== 'pull') continue;
    const [reference, name] = step.args!.filter((word) => !word.startsWith('--')).slice(2);
    const tags = listTagNames(repository);
    let result: PullResult | undefined;
    let failure: unknown;
    try {
      result = await pull(repository, place(reference!), name, step);
    } catch (error) {
      failure = error;
    }
    const expected = step.right?.rc ?? step.seen.rc;
    const why = `${reference}: ${step.right?.note ?? ''}: ${String(failure)}`;
    // cfsctl 0.9.4 pulls nothing when only EROFS images of version 0 are made.
    const isOfVersion0 = step.seen.stderr.includes('commit_images did not produce');
    if (step.right?.rc_either !== true && !isOfVersion0) assert.equal(failure === undefined ? 0 : 1, expected, why);
    pulls++;
    if (result === undefined) {
      assert.ok(failure instanceof BridgeError, why);
      assert.deepEqual(listTagNames(repository), tags);
      continue;
    }
    const recorded = step.seen.state?.oci;
    if (recorded !== undefined && step.seen.rc === 0 && step.right?.rc_either !== true) {
      for (const { diffId, stream } of result.layers) assert.equal(stream, recorded.layers[diffId]?.stream_object);
      assert.equal(result.configStream, recorded.configs[result.configDigest]?.stream_object, why);
      for (const id of result.images.values()) assert.ok(recorded.images.includes(id));
    }
    const direct = join(work, `direct-${pulls}`);
    init(direct, session);
    using other = await openRepository(direct);
    const whole = await pull(other, targetOf(folder, result.manifestDigest), 'direct', step);
    assert.equal(result.manifestDigest, whole.manifestDigest);
    assert.deepEqual(await state(repository, result), await state(other, whole), why);
  }
  return pulls;
}

describe('deltas, as they were recorded', () => {
  for (const name of fixtureNames('delta').filter((entry) => !entry.endsWith('.md'))) {
    it(`are applied or refused: ${name}`, async (t) => {
      const { sessions } = fixtureJson<Case>(`delta/${name}/case.json`);
      const folder = source(t, name);
      let pulls = 0;
      for (const session of sessions) {
        await withoutLeak(async () => {
          pulls += await run(t, folder, session);
        });
      }
      assert.ok(pulls > sessions.length);
    });
  }

  it('have a signature of the key, or are refused when one is asked for', async (t) => {
    const folder = source(t, 'signatures');
    const asked = Object.entries(
      fixtureJson<Case>('delta/signatures/case.json')['oci-delta apply --verify-key'] ?? assert.fail('no keys'),
    );
    const keys = { one: 'one.pub', two: 'two.pub' };
    for (const [what, { rc }] of asked) {
      const [, delta, key] = /^(\S+) with key (one|two)$/.exec(what) ?? assert.fail(what);
      const repo = join(scratch(t), 'repo');
      initRepository(repo, { insecure: true });
      using repository = await openRepository(repo);
      await using base = await openSource(`oci:${folder}/base`);
      await pullImage(repository, base, { name: 'base' });
      await using image = await openSource(`oci:${folder}/d/${delta}`);
      const verifyKey = readFileSync(join(folder, 'keys', keys[key as 'one' | 'two']), 'utf8');
      const applied = applyDelta(repository, image, { name: 'new', verifyKey });
      if (rc === 0) assert.equal((await applied).tag, 'new');
      else await assert.rejects(applied, { code: 'DELTA_SIGNATURE' }, what);
      assert.deepEqual(listTagNames(repository), rc === 0 ? ['base', 'new'] : ['base']);
    }
    assert.equal(asked.length, 12);
  });
});
