import { constants, fsync } from 'node:fs';
import { promisify } from 'node:util';
import { debug } from '../../debug.js';
import { DigestMismatchError } from '../../errors.js';
import { openBeneath } from '../../fd/fd.js';
import type { LayerStream } from '../../layer/stream.js';
import { files } from '../../native.js';
import { extractLayer, type ExtractedLayer, type ExtractOptions } from '../extract/extract-layer.js';
import type { LockWait } from '../lock.js';
import type { StoreFolders } from './folders.js';
import { commitLayerFolder, stageLayerFolder } from './layer-folder.js';
import { finishLayer, unfinishedLayer, type CompressedBlob } from './layer-record.js';
import { LockedLayers } from './locked-layers.js';
import type { WriteSettings } from './settings.js';
import { LAYERS_STAGING, StagingFolder, TREES_STAGING } from './staging-folder.js';

const syncFile = promisify(fsync);

/** What is known of a layer before it is written, and how it is to be written. */
export interface PutLayerOptions extends LockWait, Pick<ExtractOptions, 'zeroCopy' | 'onProgress'> {
  /** id, in the same store, of the layer that this one is put on; the lowest layer of an image has none */
  parent?: string | undefined;
  /** sha256:… of the uncompressed tar */
  diffId: string;
  /**
   * the blob it came in, for podman to find the layer by; only where it was verified that this is the layer's blob.
   * Default: the one that the stream was found to come out of
   */
  compressed?: CompressedBlob | undefined;
}

/** What became of a layer. */
export interface PutLayerResult {
  /** for the layer above, or for the image */
  id: string;
  /** the store has had it */
  reused: boolean;
  /** what was written; undefined for a layer that was there before anything was read */
  extracted: ExtractedLayer | undefined;
}

/**
 * Writes a layer. Nobody sees it before its digest is known to be right and all of it is on the disk; the layers of the
 * store are locked for reading what is there, and for renaming, but not while content is written.
 * @param stream is disposed, as soon as it was read or is not needed
 */
export async function putLayer(
  folders: StoreFolders,
  settings: WriteSettings,
  stream: LayerStream,
  { parent, diffId, compressed, zeroCopy, onProgress, ...wait }: PutLayerOptions,
): Promise<PutLayerResult> {
  await using content = stream;
  {
    await using layers = await LockedLayers.take(folders, wait);
    const id = layers.find(parent, diffId);
    if (id !== undefined) return { id, reused: true, extracted: undefined };
    if (parent !== undefined) layers.checkParent(parent);
  }
  await using recipes = StagingFolder.make(folders.layers, LAYERS_STAGING);
  await using trees = StagingFolder.make(folders.trees, TREES_STAGING);
  const [recipe, folder] = [recipes.newName(), trees.newName()];
  using tarSplit = openBeneath(recipes.dir, recipe, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, 0o600);
  const { forceMask, plainWhiteouts, inUserNamespace } = settings;
  using diff = stageLayerFolder(folders, trees.dir, folder, parent, forceMask);
  const extracted = await extractLayer(content, diff, tarSplit, {
    ...{ zeroCopy, forceMask, plainWhiteouts, inUserNamespace, onProgress, signal: wait.signal },
  });
  if (extracted.diffId !== diffId)
    throw new DigestMismatchError('layer', diffId, extracted.diffId, { place: { layer: diffId } });
  await syncFile(tarSplit.number);
  await files.syncfs(diff.number);

  await using layers = await LockedLayers.take(folders, wait);
  const meanwhile = layers.find(parent, diffId);
  if (meanwhile !== undefined) return { id: meanwhile, reused: true, extracted };
  if (parent !== undefined) layers.checkParent(parent);
  const id = layers.freeId(parent, diffId);
  const record = unfinishedLayer(id, parent);
  layers.clearPlace(id);
  await layers.add(record);
  try {
    commitLayerFolder(folders, trees.dir, folder, id, parent);
    files.renameat2(recipes.dir.number, recipe, folders.layers.number, `${id}.tar-split.gz`, 0);
    finishLayer(record, extracted, compressed ?? stream.blob);
    await layers.save();
  } catch (error) {
    // Where that does not work either, whoever comes next does it.
    await layers
      .remove(new Set([id]))
      .catch((left: unknown) => debug(() => `store: layer ${id} is left: ${String(left)}`));
    throw error;
  }
  return { id, reused: false, extracted };
}
