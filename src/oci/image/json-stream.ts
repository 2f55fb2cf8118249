// Config and manifest streams: one object with the JSON exactly as it was published, and named references.
import { FormatError } from '../../errors.js';
import { DOCUMENT_LIMIT } from '../../limits.js';
import type { ObjectId } from '../../fsverity/object-id.js';
import { readSmallFile } from '../../fd/read-file.js';
import type { Repository } from '../../repository/repository.js';
import { SplitstreamWriter } from '../../repository/splitstream/writer.js';

export interface JsonStream {
  /** the splitstream's object */
  readonly stream: ObjectId;
  readonly bytes: Buffer;
  readonly namedRefs: ReadonlyMap<string, ObjectId>;
}

/**
 * Reads a stream of up to 16 MiB.
 * @param contentType what it must be
 * @throws NotFoundError, FormatError
 */
export async function readJsonStream(
  repository: Repository,
  stream: ObjectId,
  contentType: bigint,
): Promise<JsonStream> {
  using reader = repository.openStream(stream);
  if (reader.contentType !== contentType) {
    throw new FormatError(
      'CONTENT_TYPE',
      `splitstream ${stream} has content type ${reader.contentType.toString(16)} instead of ` +
        `${contentType.toString(16)}`,
    );
  }
  const parts: Buffer[] = [];
  let length = 0;
  for await (const pieces of reader.batches()) {
    for (const piece of pieces) {
      const bytes = piece.kind === 'inline' ? piece.bytes : readObject(repository, piece.id);
      length += bytes.length;
      if (length > DOCUMENT_LIMIT)
        throw new FormatError(
          'FILE_TOO_LARGE',
          `splitstream ${stream} holds more than ${DOCUMENT_LIMIT} bytes of JSON`,
        );
      parts.push(bytes);
    }
  }
  return { stream, bytes: Buffer.concat(parts, length), namedRefs: reader.namedRefs };
}

/**
 * Stores JSON and its stream, without naming the stream.
 * @param namedRefs in the order that the file keeps
 * @returns the splitstream's object
 */
export async function putJsonStream(
  repository: Repository,
  contentType: bigint,
  bytes: Buffer,
  namedRefs: ReadonlyMap<string, ObjectId>,
): Promise<ObjectId> {
  const writer = new SplitstreamWriter(contentType, repository.algorithm);
  for (const [name, id] of namedRefs) writer.addNamedRef(name, id);
  writer.external(await repository.objects.put(bytes), bytes.length);
  return repository.objects.put(await writer.finish());
}

function readObject(repository: Repository, id: ObjectId): Buffer {
  using fd = repository.objects.open(id);
  return readSmallFile(fd, DOCUMENT_LIMIT);
}
