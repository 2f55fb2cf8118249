import { mkcomposefs } from './mkcomposefs.js';

void mkcomposefs(process.argv.slice(2)).then((status) => {
  process.exitCode = status;
});
