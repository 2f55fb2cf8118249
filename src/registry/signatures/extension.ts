// Signatures that a registry keeps itself and gives out beyond the distribution protocol, as that of OpenShift does.
import * as z from 'zod';
import { SIGNATURE_LIST_LIMIT } from '../../limits.js';
import type { RegistryRepository } from '../repository.js';
import type { SimpleSignature } from './signature.js';

const listSchema = z.object({
  signatures: z
    .array(z.looseObject({ schemaVersion: z.number().optional(), type: z.string().optional(), content: z.unknown() }))
    .nullish(),
});

/** @throws RegistryError, HttpError */
export async function readExtension(
  repository: RegistryRepository,
  digest: string,
  signal?: AbortSignal,
): Promise<SimpleSignature[]> {
  await using response = await repository.request({
    target: await repository.locateAt(`/extensions/v2/${repository.name.path}/signatures/${digest}`, signal),
    expect: [200],
    what: 'the signatures cannot be read',
    reference: digest,
    signal,
  });
  const { signatures } = readList(await response.bytes(SIGNATURE_LIST_LIMIT), repository);
  return (signatures ?? []).flatMap(({ schemaVersion, type, content }) =>
    schemaVersion === 2 && type === 'atomic' && typeof content === 'string'
      ? [{ kind: 'simple', message: Buffer.from(content, 'base64') }]
      : [],
  );
}

function readList(bytes: Buffer, repository: RegistryRepository): z.output<typeof listSchema> {
  try {
    return listSchema.parse(JSON.parse(bytes.toString('utf8')));
  } catch (cause) {
    throw repository.error('instead of a list of signatures there is something that is none', undefined, { cause });
  }
}
