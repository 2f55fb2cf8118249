import { Dice } from '../support/images/random-dump.js';

/** The fields of an inode behind its path, by its number of links. Some have xattrs that others share. */
const LEAVES: readonly ((links: number) => string)[] = [
  (links) => `3 100644 ${links} 0 0 0 1.0 - abc -`,
  (links) => `300 100644 ${links} 0 0 0 2.0 ab/${'ab'.repeat(31)} - ${'ab'.repeat(32)} user.a=1 trusted.b=2`,
  (links) => `300 100644 ${links} 0 0 0 2.0 some/where - - user.a=1`,
  (links) => `0 100600 ${links} 0 0 0 2.0 - - -`,
  (links) => `4 120777 ${links} 0 0 0 1.0 /far - -`,
  (links) => `0 20644 ${links} 0 0 259 1.0 - - -`,
  (links) => `0 10644 ${links} 0 0 0 1.0 - - - trusted.b=2`,
];

/**
 * A dumpfile of nested folders in which most names are hardlinks: to any inode or to another link, before or behind it
 * in the order of names. Link counts are anything, which C stores as it is.
 */
export function randomLinks(seed: number): Buffer {
  const dice = new Dice(seed);
  const directories = [''];
  const lines = ['/ 0 40755 2 0 0 0 1.0 - - -'];
  const used = new Set<string>();
  const links: string[] = [];
  const targets: string[] = [];
  for (let index = 0, count = 5 + dice.roll(60); index < count; index += 1) {
    const name = Array.from({ length: 1 + dice.roll(3) }, () => dice.pick([...'abcdefgzA+-!_'])).join('');
    const path = `${dice.pick(directories)}/${name}`;
    if (used.has(path)) continue;
    used.add(path);
    const kind = dice.roll(6);
    if (kind === 0) {
      directories.push(path);
      lines.push(`${path} 0 40755 2 0 0 0 1.0 - - -`);
    } else if (kind < 3) {
      targets.push(path);
      lines.push(`${path} ${dice.pick(LEAVES)(1 + dice.roll(4))}`);
    } else {
      links.push(path);
    }
  }
  if (targets.length === 0) return randomLinks(seed + 1_000_000);
  for (const path of links) {
    lines.push(`${path} 0 @100644 1 0 0 0 0.0 ${dice.pick(targets)} - -`);
    targets.push(path);
  }
  return Buffer.from(`${lines.join('\n')}\n`);
}
