import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fuzzDumps, fuzzImages } from '../support/images/fuzz-inputs.js';

// Here because it takes a minute; the unit tests do a hundredth of it.
const COUNT = 200_000;

test(`${COUNT} damaged dumpfiles are read or refused`, () => assert.ok(fuzzDumps(COUNT) > COUNT / 4));
test(`${COUNT} damaged images are read or refused`, () => assert.ok(fuzzImages(COUNT) > COUNT / 4));
