import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { fastFolder } from '../support/fast-folder.js';

const root = fileURLToPath(new URL('../../..', import.meta.url));

/**
 * The package as npm packs it, in a folder of its own: with its dependencies alone, and what its install script makes.
 */
export class InstalledPackage implements Disposable {
  readonly folder = mkdtempSync(join(fastFolder, 'installed-'));
  readonly #package = join(this.folder, 'node_modules/composefs-bridge');

  constructor() {
    // Without scripts: the checkout was built just now, and others use it.
    const [{ filename }] = JSON.parse(
      execFileSync('npm', ['pack', '--json', '--ignore-scripts', '--pack-destination', this.folder], {
        cwd: root,
        encoding: 'utf8',
        stdio: ['ignore', 'pipe', 'ignore'],
      }),
    );
    mkdirSync(this.#package, { recursive: true });
    execFileSync('tar', ['xzf', join(this.folder, filename), '--strip-components=1', '-C', this.#package]);
    const { dependencies } = JSON.parse(readFileSync(join(this.#package, 'package.json'), 'utf8')) as {
      dependencies: Record<string, string>;
    };
    for (const name of Object.keys(dependencies)) {
      const place = join(this.folder, 'node_modules', name);
      mkdirSync(dirname(place), { recursive: true });
      symlinkSync(join(root, 'node_modules', name), place);
    }
    // Compiling it again would only take a minute: `make build` compiles the same files in the same way.
    cpSync(join(root, 'build/Release/cfsbridge.node'), join(this.#package, 'build/Release/cfsbridge.node'));
    execFileSync(process.execPath, ['scripts/code-cache.mjs'], { cwd: this.#package });
  }

  /** One of its commands, to be started as it is. */
  command(name: string): string {
    return join(this.#package, 'bin', name);
  }

  /** A file of it. */
  file(name: string): string {
    return join(this.#package, name);
  }

  [Symbol.dispose](): void {
    rmSync(this.folder, { recursive: true });
  }
}
