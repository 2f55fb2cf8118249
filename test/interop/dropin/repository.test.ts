import { initCases, repositoryCases } from './cases-repository.js';
import { testCases } from './cases.js';

testCases('init', initCases);
testCases('the repository as such', repositoryCases);
