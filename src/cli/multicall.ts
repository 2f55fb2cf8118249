import { basename } from 'node:path';
import { endWithoutWhatIsLeft } from '../fd/left-alone.js';
import { INSIDE_ARGUMENT } from '../userns/task.js';
import { isProgram, programAmong } from './program-among.js';
import { commandAmong, isProxyCommand } from './skopeo/options.js';

export { printableLines } from '../bytes.js';

/**
 * The commands this program is, by the name it was called by or the word that stands for a command. Each is loaded only
 * when it is meant, because loading takes longer than much of what they do.
 */
async function run(): Promise<number> {
  const args = process.argv.slice(2);
  if (args[0] === INSIDE_ARGUMENT) return (await import('./userns/inside.js')).insideUserNamespace(args.slice(1));
  const called = basename(process.argv[1] ?? '');
  const { name, args: own } = (isProgram(called) ? undefined : (programAmong(args) ?? proxyAmong(args))) ?? {
    name: called,
    args,
  };
  switch (name) {
    case 'mkcomposefs':
      return (await import('./mkcomposefs/mkcomposefs.js')).mkcomposefs(own);
    case 'composefs-info':
      return (await import('./composefs-info/composefs-info.js')).composefsInfo(own);
    case 'skopeo':
      return (await import('./skopeo/skopeo.js')).skopeo(own);
    default:
      return (await import('./main.js')).main();
  }
}

/** skopeo's command is one of ours, with skopeo's options before it. */
function proxyAmong(args: string[]): { name: string; args: string[] } | undefined {
  return isProxyCommand(commandAmong(args)) ? { name: 'skopeo', args } : undefined;
}

void run().then((status) => {
  process.exitCode = status;
  endWithoutWhatIsLeft(status);
});
