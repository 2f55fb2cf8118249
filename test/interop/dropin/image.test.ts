import { imageCases } from './cases-image.js';
import { testCases } from './cases.js';

testCases('images of folders', imageCases);
