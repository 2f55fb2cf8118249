import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { decompress } from 'zstd-napi';

const folder = fileURLToPath(new URL('../../../../fixtures/cstor-small/', import.meta.url));

/** A containers-storage with 27 images, unpacked for one test file. */
export interface SmallStore {
  graphroot: string;
  /**
   * What unpacking as an ordinary user loses: owners, device nodes (so also whiteouts), xattrs, and modes, which are
   * widened to keep everything readable. The content of files, all that a layer's tar is rebuilt from, is complete.
   */
  asRoot: boolean;
  remove(): void;
}

/** One image as it was recorded when the store was made. */
export interface SmallImage {
  dir: string;
  image_id: string;
  manifest_digest: string;
  n_layers: number;
  names: string[];
}

export interface SmallResults {
  manifest_media_type: string;
  config_digest: string;
  store_layer_chain: string[];
  diff_ids: string[];
  layers: { diff_id: string; tar_size: number }[];
}

export function unpackSmallStore(parent: string = tmpdir()): SmallStore {
  const graphroot = mkdtempSync(join(parent, 'cstor-small-'));
  const asRoot = process.getuid?.() === 0;
  const kept = asRoot
    ? ['--xattrs', '--xattrs-include=*', '--acls', '--numeric-owner', '-p']
    : ['--no-same-owner', '--exclude=*/diff/dev/*'];
  const result = { graphroot, asRoot, remove: () => rmSync(graphroot, { recursive: true, force: true }) };
  try {
    execFileSync('tar', ['--warning=no-timestamp', ...kept, '-C', graphroot, '-x'], {
      input: decompress(readFileSync(join(folder, 'cstor-small.tar.zst'))),
      // Ordinary users cannot make the 0:0 devices that stand for whiteouts; tar goes on and says so.
      stdio: ['pipe', 'ignore', asRoot ? 'inherit' : 'ignore'],
    });
  } catch (error) {
    if (asRoot) {
      result.remove();
      throw error;
    }
  }
  if (!asRoot) execFileSync('chmod', ['-R', 'u+rwX', graphroot]);
  return result;
}

/** layers.json and images.json of it, as podman's library wrote them. */
export function smallStoreIndexes(): Buffer[] {
  const tar = decompress(readFileSync(join(folder, 'cstor-small.tar.zst')));
  return ['overlay-layers/layers.json', 'overlay-images/images.json'].map((name) =>
    execFileSync('tar', ['--to-stdout', '--wildcards', '-x', `*${name}`], { input: tar }),
  );
}

export function smallIndex(): Record<string, SmallImage> {
  return JSON.parse(readFileSync(join(folder, 'index.json'), 'utf8')) as Record<string, SmallImage>;
}

/** The recorded bytes of a file of one image: manifest.json, config.json, results.json. */
export function smallFile(image: SmallImage, name: string): Buffer {
  return readFileSync(join(folder, 'images', image.dir, name));
}

export function smallResults(image: SmallImage): SmallResults {
  return JSON.parse(smallFile(image, 'results.json').toString()) as SmallResults;
}
