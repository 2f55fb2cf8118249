// Imported first by the command line. A pull makes many short-lived objects; with V8's defaults, which are meant for servers, the heap grows
// for them by tens of megabytes. The size of the young generation can only be set when the process starts, see `bin/cfsbridge`.
import v8 from 'node:v8';
import { files } from '../native.js';

v8.setFlagsFromString('--heap-growing-percent=15');
files.returnFreedMemory();
