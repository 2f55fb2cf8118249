import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fuzzDumps, fuzzImages } from '../support/images/fuzz-inputs.js';

const COUNT = 2000;

test(`${COUNT} damaged dumpfiles are read or refused`, () => assert.ok(fuzzDumps(COUNT) > COUNT / 4));
test(`${COUNT} damaged images are read or refused`, () => assert.ok(fuzzImages(COUNT) > COUNT / 4));
