import v8 from 'node:v8';
import { mkcomposefs } from './mkcomposefs.js';

export { printableLines } from '../../bytes.js';

// What pays in programs that run for long costs a tenth of this one's time: to compile functions together with those
// that they call, and to look for garbage in a heap that has none before the image is written.
v8.setFlagsFromString('--max-inlined-bytecode-size-cumulative=0');
v8.setFlagsFromString('--no-incremental-marking');

void mkcomposefs(process.argv.slice(2)).then((status) => {
  process.exitCode = status;
});
