/** The global options; those with a value take the next word. */
const WITH_VALUE = new Set(['--repo', '--hash', '--erofs-version']);
const ALONE = new Set([
  '--no-repo',
  '--user',
  '--system',
  '--require-verity',
  '--insecure',
  '--no-upgrade',
  '--trust-repository',
]);

/** The programs that are commands, too, as in cfsctl; they read their own arguments. */
const PROGRAMS = ['mkcomposefs', 'composefs-info'];
/** By this name it is another program altogether. */
const SKOPEO = 'skopeo';

export function isProgram(name: string): boolean {
  return PROGRAMS.includes(name) || name === SKOPEO;
}

/** Finds `mkcomposefs …` or `composefs-info …` behind global options, none of which mean anything to them. */
export function programAmong(args: readonly string[]): { name: string; args: string[] } | undefined {
  let at = 0;
  for (let word = args[at]; word !== undefined && word.startsWith('-'); word = args[at]) {
    if (WITH_VALUE.has(word)) at += 2;
    else if (ALONE.has(word) || (word.includes('=') && WITH_VALUE.has(word.slice(0, word.indexOf('='))))) at++;
    else return undefined;
  }
  const name = args[at];
  return name !== undefined && PROGRAMS.includes(name) ? { name, args: args.slice(at + 1) } : undefined;
}
