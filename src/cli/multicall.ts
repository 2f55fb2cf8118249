import { basename } from 'node:path';

/**
 * The commands this program is, by the name it was called by. Each is loaded only when it is meant, because loading takes
 * longer than much of what they do.
 */
async function main(): Promise<void> {
  const args = process.argv.slice(2);
  switch (basename(process.argv[1] ?? '')) {
    case 'mkcomposefs':
      process.exitCode = await (await import('./mkcomposefs.js')).mkcomposefs(args);
      return;
    case 'composefs-info':
      process.exitCode = await (await import('./composefs-info.js')).composefsInfo(args);
      return;
    default:
      await import('./main.js');
  }
}

await main();
