/** Numbers that look random and are the same in every run: xorshift. */
export class Dice {
  private state: number;

  constructor(seed: number) {
    this.state = (seed * 2654435761) >>> 0 || 1;
  }

  /** 0..count-1 */
  roll(count: number): number {
    this.state ^= this.state << 13;
    this.state ^= this.state >>> 17;
    this.state ^= this.state << 5;
    return (this.state >>> 0) % count;
  }

  pick<T>(choices: readonly T[]): T {
    return choices[this.roll(choices.length)]!;
  }

  hex(digits: number): string {
    return Array.from({ length: digits }, () => this.roll(16).toString(16)).join('');
  }
}

const XATTRS = [
  'user.a',
  'user.b',
  'security.selinux',
  'security.capability',
  'trusted.x',
  'trusted.overlay.foo',
  'system.posix_acl_access',
  'lustre.l',
  'custom',
  `security.${'z'.repeat(20)}`,
];

/**
 * A dumpfile with a bit of everything that C and composefs-rs write alike: hardlinks name earlier lines whose link
 * counts are right, no line carries the marks that images add, and no name is two hex digits (those composefs-rs
 * hides).
 * @param entries how many lines below the root's at most; default 20 to 419
 */
export function randomDump(seed: number, entries?: number): Buffer {
  const dice = new Dice(seed);
  const digests = Array.from({ length: 12 }, () => dice.hex(64));
  const directories = [''];
  const leaves: { path: string; line: (links: number) => string; links: number }[] = [];
  const lines: (() => string)[] = [];
  const owner = (): string => `${dice.pick([0, 0, 0, 65535, 65536])} ${dice.pick([0, 0, 0, 70000])}`;
  const time = (): string => `${dice.pick([100, 101, 1700000000, 1700000001])}.${dice.pick([0, 0, 0, 7])}`;
  const xattrs = (): string => {
    if (dice.roll(4) > 0) return '';
    const names = new Set(Array.from({ length: dice.roll(6) }, () => dice.pick(XATTRS)));
    const value = (): string => dice.pick(['', '1', 'a\\x00b', 'x'.repeat(dice.roll(300)), 'y'.repeat(dice.roll(900))]);
    // C loses an entry of four bytes, an ACL without value, when it reads an image.
    return [...names].map((name) => ` ${name}=${name.endsWith('acl_access') ? '1' : ''}${value()}`).join('');
  };
  const root = `/ 0 40755 2 0 0 0 ${time()} - - -${xattrs()}`;
  lines.push(() => root);
  const addLeaf = (path: string, size: number, mode: string, rdev: number, data: string): void => {
    const [ids, when, extra] = [owner(), time(), xattrs()];
    const leaf = {
      path,
      links: 1,
      line: (links: number) => `${path} ${size} ${mode} ${links} ${ids} ${rdev} ${when} ${data}${extra}`,
    };
    leaves.push(leaf);
    lines.push(() => leaf.line(leaf.links));
  };
  for (let index = 0, count = entries ?? 20 + dice.roll(400); index < count; index += 1) {
    const length = dice.pick([0, 0, dice.roll(200), 247]);
    const path = `${dice.pick(directories)}/${dice.pick(['f', '+x', '-', 'ab', '\\xc3\\x9c'])}${'n'.repeat(length)}${10000 + index}`;
    switch (dice.roll(7)) {
      case 0: {
        const line = `${path} 0 4${dice.pick(['0755', '0700', '1777'])} 2 ${owner()} 0 ${time()} - - -${xattrs()}`;
        directories.push(path);
        lines.push(() => line);
        break;
      }
      case 1:
      case 2: {
        const digest = dice.pick([dice.hex(64), dice.pick(digests)]);
        addLeaf(
          path,
          dice.pick([65, 4096, 1e6, 2 ** 33 + 1]),
          '100644',
          0,
          `${digest.slice(0, 2)}/${digest.slice(2)} - ${digest}`,
        );
        break;
      }
      case 3: {
        const size = dice.pick([dice.roll(65), dice.roll(513)]);
        addLeaf(path, size, '104755', 0, `- ${'c'.repeat(size) || '-'} -`);
        break;
      }
      case 4: {
        const size = 1 + dice.pick([dice.roll(60), dice.roll(1024)]);
        addLeaf(path, size, '120777', 0, `${'/t'.repeat(512).slice(0, size)} - -`);
        break;
      }
      case 5: {
        const line = `${path} 0 20${dice.pick(['644', '600'])} 1 ${owner()} 0 ${time()} - - -`;
        switch (dice.roll(4)) {
          case 0:
            lines.push(() => line);
            break;
          case 1:
            addLeaf(path, 0, dice.pick(['20600', '60660']), 1 + dice.roll(2 ** 31), '- - -');
            break;
          default:
            addLeaf(path, 0, dice.pick(['10644', '140644']), 0, '- - -');
        }
        break;
      }
      default: {
        const leaf = leaves.length > 0 ? dice.pick(leaves) : undefined;
        if (leaf === undefined) break;
        leaf.links += 1;
        lines.push(() => `${path} 0 @120000 - - - - 0.0 ${leaf.path} - -`);
      }
    }
  }
  return Buffer.from(lines.map((line) => `${line()}\n`).join(''));
}
