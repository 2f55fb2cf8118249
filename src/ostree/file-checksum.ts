import type { Fd } from '../fd/fd.js';
import { Batch } from '../layer/batch.js';
import type { Repository } from '../repository/repository.js';
import type { Checksum } from './object/checksum.js';
import { encodeHeader, type FileHeader } from './object/file-header.js';

/** The id of a file. @param content all of it; stays the caller's */
export async function fileChecksum(repository: Repository, header: FileHeader, content: Fd): Promise<Checksum> {
  const ingest = repository.objects.ingest('hash');
  const batch = new Batch();
  batch.bytes(encodeHeader(header));
  batch.open(content.duplicate(), content.stat().size);
  await ingest.submit(batch);
  return ingest.digest();
}
