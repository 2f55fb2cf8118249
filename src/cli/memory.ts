// Imported first by the command line. A pull makes many short-lived objects; with V8's defaults, which are meant for servers, the heap grows
// for them by tens of megabytes that a small young generation avoids at little cost.
import v8 from 'node:v8';
import { files } from '../native.js';

v8.setFlagsFromString('--max-semi-space-size=4');
v8.setFlagsFromString('--semi-space-growth-factor=1');
v8.setFlagsFromString('--heap-growing-percent=30');
files.returnFreedMemory();
