import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readlinkSync, writeFileSync } from 'node:fs';
import { setTimeout } from 'node:timers/promises';

/** A user namespace that lives until it is disposed. Needs root. */
export class UserNamespace implements Disposable {
  readonly #process: ChildProcess;

  private constructor(process: ChildProcess) {
    this.#process = process;
  }

  /** @param map for users and groups, a line as in /proc/PID/uid_map: `0 100000 65536` */
  static async start(map: string): Promise<UserNamespace> {
    const child = spawn('unshare', ['--user', 'sleep', '600'], { stdio: 'ignore' });
    await once(child, 'spawn');
    const namespace = new UserNamespace(child);
    try {
      while (readlinkSync(namespace.path) === readlinkSync('/proc/self/ns/user')) await setTimeout(10);
      for (const kind of ['uid', 'gid']) writeFileSync(`/proc/${child.pid}/${kind}_map`, map);
    } catch (error) {
      namespace[Symbol.dispose]();
      throw error;
    }
    return namespace;
  }

  get path(): string {
    return `/proc/${this.#process.pid}/ns/user`;
  }

  [Symbol.dispose](): void {
    this.#process.kill();
  }
}
