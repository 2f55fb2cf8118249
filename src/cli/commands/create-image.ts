import { bytesOf } from '../../bytes.js';
import { erofsVersions } from '../../repository/meta.js';
import { checkPath } from '../../repository/links.js';
import { storeImage } from '../../repository/store-image.js';
import { folderTree, type FolderOptions } from '../folder-tree.js';
import { IMAGES } from '../../repository/names.js';
import { openRepository } from '../open-repository.js';
import type { Session } from '../session.js';

/** `create-image`: stores a folder's files and its image. */
export async function run(
  session: Session,
  [path, name]: [string, string | undefined],
  options: FolderOptions,
): Promise<void> {
  if (name !== undefined) checkPath(bytesOf(name));
  using repository = await openRepository(session, options, 'write');
  const root = await folderTree(session, path, options, repository.objects);
  const version = options.erofsVersion ?? erofsVersions(repository.meta)[0] ?? 1;
  const id = await storeImage(repository.objects, root, { version });
  await repository.linkImage(id);
  if (name !== undefined) repository.writeRef(IMAGES, bytesOf(name), id);
  await session.out.line(`${repository.algorithm}:${id}`);
}
