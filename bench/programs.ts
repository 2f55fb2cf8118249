import { readdirSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Measure, Run } from './measure.js';

export const OURS = 'cfsbridge';
export const PEER = 'cfsctl';

/** One of the programs that are compared; both understand the same command lines. */
export class Program {
  readonly #measure: Measure;

  constructor(
    readonly name: string,
    readonly command: readonly string[],
    measure: Measure,
  ) {
    this.#measure = measure;
  }

  async init(repository: string): Promise<void> {
    await this.#measure.run([...this.command, 'init', '--insecure', repository]);
  }

  /** @param more further arguments, such as a socket to pull from */
  async pull(repository: string, graphroot: string, image: string, ...more: readonly string[]): Promise<Run> {
    return this.pullReference(repository, graphroot, `containers-storage:localhost/${image}`, image, ...more);
  }

  /** The same, with a reference and a tag. */
  async pullReference(
    repository: string,
    graphroot: string,
    reference: string,
    tag: string,
    ...more: readonly string[]
  ): Promise<Run> {
    const command = [
      ...this.command,
      '--repo',
      repository,
      'oci',
      'pull',
      '--local-fetch',
      'auto',
      ...more,
      reference,
      tag,
    ];
    return this.#measure.run(command, { CONTAINERS_STORAGE_ROOT: graphroot });
  }

  async fsck(repository: string): Promise<Run> {
    return this.#measure.run([...this.command, '--repo', repository, 'fsck']);
  }

  /** Runs a shell script whose $0 and arguments are the command that writes a layer, and whose $TAR is `tar`. */
  async layer(repository: string, diffId: string, script: string, tar: string): Promise<Run> {
    return this.#measure.run(['sh', '-c', script, ...this.command, '--repo', repository, 'oci', 'layer', diffId], {
      TAR: tar,
    });
  }

  async describeLayer(repository: string, diffId: string): Promise<{ diffId: string; size: number }> {
    const { stdout } = await this.#measure.run([
      ...this.command,
      '--repo',
      repository,
      'oci',
      'layer',
      '--json',
      diffId,
    ]);
    return JSON.parse(stdout) as { diffId: string; size: number };
  }

  async version(): Promise<Run> {
    return this.#measure.run([...this.command, '--version']);
  }
}

/** cfsbridge of this tree, run by the Node that runs this, so that a measurement names one version of it. */
export const ourCommand: readonly string[] = [fileURLToPath(new URL('../../bin/cfsbridge', import.meta.url))];

/**
 * How files got in, from the line "objects 8958 hardlinked + 0 copied + …" that both programs print; "new" are copies,
 * too.
 */
export function methodOf(stdout: string): string | undefined {
  const counts = [...stdout.matchAll(/(\d+) (reflinked|hardlinked|copied|new)\b(?!:)/g)].filter(
    ([, count]) => Number(count) > 0,
  );
  const ways = counts.map(([, , way = '']) => (way === 'new' ? 'copied' : way));
  return ways.length === 0 ? undefined : ways.join(' and ');
}

/**
 * What a repository holds: the names of all images and streams with the digests they stand for, sorted. Left out are
 * the digest of a manifest's stream, in which cfsctl writes the references in another order every time, and of a
 * commit's, which is compressed in another way, and summaries of ostree, which both keep under names of their own.
 * @throws Error when there is no image
 */
export function contentsOf(repository: string): string[] {
  const lines = ['images', 'streams'].flatMap((area) =>
    readdirSync(join(repository, area), { withFileTypes: true })
      .filter((entry) => entry.isSymbolicLink() && !entry.name.startsWith('ostree-summary-'))
      .map(({ name }) =>
        /^(oci-manifest|ostree-commit)-/.test(name)
          ? name
          : `${area}/${name} is ${readlinkSync(join(repository, area, name))}`,
      ),
  );
  if (!lines.some((line) => line.startsWith('images/'))) throw new Error(`${repository} has no image`);
  return lines.sort();
}
