import { basename } from 'node:path';

/**
 * The commands this program is, by the name it was called by. Each is loaded only when it is meant, because loading takes
 * longer than much of what they do.
 */
async function run(): Promise<number> {
  const args = process.argv.slice(2);
  switch (basename(process.argv[1] ?? '')) {
    case 'mkcomposefs':
      return (await import('./mkcomposefs.js')).mkcomposefs(args);
    case 'composefs-info':
      return (await import('./composefs-info.js')).composefsInfo(args);
    default:
      return (await import('./main.js')).main();
  }
}

void run().then((status) => {
  process.exitCode = status;
});
