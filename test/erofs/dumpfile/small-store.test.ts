import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { parseDump } from '../../../src/erofs/dumpfile/parse.js';
import { printDump } from '../../../src/erofs/dumpfile/print.js';
import { writeErofs } from '../../../src/erofs/write/writer.js';
import { fixture, fixtureJson, fixtureNames, hasFixture } from '../../support/fixtures.js';
import { referenceVerity } from '../../support/reference-verity.js';

interface Ids {
  compute_id_with_erofs_version_override?: Record<string, string | object>;
}
interface Results {
  results: Record<
    'sha256' | 'sha512',
    { erofs_versions: Record<string, Ids & { compute_id_keep_user_xattrs?: string | object }> }
  >;
}

for (const image of fixtureNames('cstor-small/images')) {
  describe(`dumpfiles of ${image}`, () => {
    for (const algorithm of ['sha256', 'sha512'] as const) {
      const versions = fixtureJson<Results>(`cstor-small/images/${image}/results.json`).results[algorithm]
        .erofs_versions;
      for (const mode of ['', '-keep-user-xattrs'] as const) {
        const path = `cstor-small/images/${image}/dump${mode}.${algorithm}.txt`;
        if (!hasFixture(path)) continue;
        test(`${algorithm}${mode}: printed again as it was`, () => {
          const dump = fixture(path);
          assert.equal(Buffer.concat([...printDump(parseDump(dump))]).toString(), dump.toString());
        });
        for (const version of [0, 1, 2] as const) {
          const ids = versions[version];
          const id =
            mode === ''
              ? versions['1']?.compute_id_with_erofs_version_override?.[version]
              : ids?.compute_id_keep_user_xattrs;
          if (typeof id !== 'string') continue;
          test(`${algorithm}${mode}: the id cfsctl computes for format ${version}`, () => {
            assert.equal(referenceVerity(writeErofs(parseDump(fixture(path)), { version, algorithm }), algorithm), id);
          });
        }
      }
    }
  });
}
