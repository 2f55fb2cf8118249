import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { cfsbridge } from '../support/cli/run-cli.js';
import { cfsctl, SharedFolder, succeed, whyNoStore } from './peers.js';
import {
  assertSound,
  assertSoundButForLinks,
  fixedNamesOf,
  makeRepository,
  pullHere,
  pullReport,
  pullWithCfsctl,
} from './repositories.js';

type Step = 'ours' | 'theirs' | 'our gc' | 'their gc';

const orders: Step[][] = [
  ['ours', 'theirs', 'their gc', 'ours', 'our gc', 'theirs'],
  ['theirs', 'ours', 'our gc', 'theirs', 'their gc', 'ours', 'their gc'],
  ['ours', 'ours', 'their gc', 'theirs', 'theirs', 'our gc', 'ours'],
];

describe('one repository that cfsctl and we pull into by turns', { skip: whyNoStore() }, () => {
  let folder: SharedFolder;
  before(() => void (folder = new SharedFolder()));
  after(() => folder[Symbol.dispose]());

  for (const order of orders)
    test(order.join(', '), async () => {
      const repository = makeRepository(join(folder.path, order.join('-').replaceAll(' ', '')));
      let names: Map<string, string> | undefined;
      for (const [index, step] of order.entries()) {
        if (step === 'our gc') succeed(cfsbridge, ['--repo', repository, 'gc']);
        else if (step === 'their gc') succeed(cfsctl, ['--repo', repository, 'gc']);
        else
          for (const image of ['mid', 'base']) {
            if (step === 'ours') await pullHere(repository, image, { name: image });
            else pullReport(pullWithCfsctl(repository, image, image));
          }
        if (order.slice(0, index + 1).includes('theirs')) assertSoundButForLinks(repository);
        else assertSound(repository);
        // Nothing is written anew, replaced or lost, whoever comes second.
        const now = fixedNamesOf(repository);
        names ??= now;
        assert.deepEqual(now, names, `after ${step}`);
      }
      assert.equal([...(names?.keys() ?? [])].filter((name) => name.startsWith('images/')).length, 2);
    });
});
