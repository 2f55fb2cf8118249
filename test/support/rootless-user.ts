// An ordinary user with subordinate ids, as rootless containers want it. Needs root, who becomes that user in a mount
// namespace of its own: /etc of this machine stays as it is.
import { spawnSync } from 'node:child_process';
import { chmodSync, chownSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { cfsbridge } from './cli/run-cli.js';

/** Ids that nobody has. */
export const ROOTLESS = 61234;
/** The first of the subordinate ids: what user and group 1 own on the disk. */
export const SUBORDINATE = 500_000;
/** Two ranges, the higher one first. */
const RANGES = `rootless:700000:30000\nrootless:${SUBORDINATE}:40000\n`;

/** What of the surroundings is another than it should be. */
export interface Surroundings {
  /** texts of /etc/subuid and /etc/subgid */
  subuid?: string;
  subgid?: string;
  /** text of /etc/nsswitch.conf */
  nsswitch?: string;
  /** more of the environment */
  env?: Readonly<Record<string, string>>;
  /** shell commands that root does before, in the namespace; $1 is the user's folder */
  before?: string;
  /** options of setpriv(1) */
  privileges?: readonly string[];
}

/** Why there can be no such user, or false. */
export function whyNoRootlessUser(): string | false {
  if (process.getuid?.() !== 0) return 'only root can become another user';
  if (spawnSync('unshare', ['--mount', 'true']).status !== 0) return 'mount namespaces are not allowed here';
  for (const tool of ['newuidmap', 'newgidmap', 'setpriv', 'nsenter'])
    if (spawnSync('sh', ['-c', `command -v ${tool}`]).status !== 0) return `${tool} is not installed`;
  using user = new RootlessUser();
  return user.run(['test', '-r', cfsbridge]).status === 0
    ? false
    : 'this checkout is in a folder that other users cannot read';
}

/** The user, who has a home until disposed. */
export class RootlessUser implements Disposable {
  /** absolute path; the user's own */
  readonly home: string;

  /** @param parent where its home is; everybody must be able to search it */
  constructor(parent = tmpdir()) {
    this.home = mkdtempSync(join(parent, 'rootless-'));
    const runtime = join(this.home, 'run');
    mkdirSync(runtime);
    for (const folder of [this.home, runtime]) {
      chownSync(folder, ROOTLESS, ROOTLESS);
      chmodSync(folder, 0o700);
    }
  }

  /** Where podman keeps what lasts as long as a session. */
  get runtime(): string {
    return join(this.home, 'run');
  }

  /** The command line by which root runs a command as the user. */
  command(command: readonly string[], surroundings: Surroundings = {}): string[] {
    return this.asRoot([...this.become(surroundings.privileges), ...command], surroundings);
  }

  /** The same, as root of a machine that has that user. */
  asRoot(command: readonly string[], { subuid, subgid, nsswitch, env = {}, before = '' }: Surroundings = {}): string[] {
    const etc = mkdtempSync(join(this.home, 'etc-'));
    chmodSync(etc, 0o755);
    writeFileSync(join(etc, 'passwd'), this.table('passwd', readFileSync('/etc/passwd', 'utf8')));
    writeFileSync(join(etc, 'subuid'), subuid ?? RANGES);
    writeFileSync(join(etc, 'subgid'), subgid ?? RANGES);
    writeFileSync(join(etc, 'nsswitch.conf'), nsswitch ?? 'passwd: files\ngroup: files\n');
    const script = [
      'home=$1; etc=$2; shift 2',
      'for name in passwd subuid subgid nsswitch.conf; do',
      '  test -e "/etc/$name" || : >"/etc/$name"; mount --bind "$etc/$name" "/etc/$name"',
      'done',
      before,
      'cd "$home"; exec "$@"',
    ].join('\n');
    return [
      ...this.environment(env),
      ...['unshare', '--mount', '--propagation', 'private', 'sh', '-ec', script, 'sh', this.home, etc, ...command],
    ];
  }

  /** A file of /etc that knows the user. @param text of the one that does not */
  table(name: string, text: string): string {
    const ids = `${ROOTLESS}:${ROOTLESS}`;
    if (name === 'passwd') return `${text}rootless:x:${ids}::${this.home}:/bin/sh\n`;
    return name === 'group' ? `${text}rootless:x:${ROOTLESS}:\n` : RANGES;
  }

  /** The beginning of a command line with the user's environment. @param env more of it */
  environment(env: Readonly<Record<string, string>> = {}): string[] {
    const variables = { HOME: this.home, XDG_RUNTIME_DIR: this.runtime, ...env };
    return [
      ...['env', '--unset=XDG_DATA_HOME', '--unset=XDG_CONFIG_HOME'],
      ...Object.entries(variables).map(([name, value]) => `${name}=${value}`),
    ];
  }

  /** The beginning of a command line by which root becomes the user. @param privileges options of setpriv(1) */
  become(privileges: readonly string[] = []): string[] {
    const ids = [`--reuid=${ROOTLESS}`, `--regid=${ROOTLESS}`, '--clear-groups', '--inh-caps=-all'];
    return ['setpriv', ...ids, ...privileges, '--'];
  }

  /** Runs a command as the user. */
  run(
    command: readonly string[],
    surroundings: Surroundings = {},
  ): { status: number | null; stdout: string; stderr: string } {
    const [program = '', ...args] = this.command(command, surroundings);
    return spawnSync(program, args, { encoding: 'utf8' });
  }

  [Symbol.dispose](): void {
    rmSync(this.home, { recursive: true, force: true });
  }
}
