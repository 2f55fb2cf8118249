import { ociReadCases, ociWriteCases } from './cases-oci.js';
import { testCases } from './cases.js';

testCases('container images, looked at', ociReadCases);
testCases('container images, changed', ociWriteCases);
