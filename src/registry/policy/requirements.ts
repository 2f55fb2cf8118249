// What policy.json can demand. Anything else in it makes all of it void: left out, it could be the condition that
// counts.
import * as z from 'zod';
import { identitySchema } from './signed-identity.js';

const path = z.string().min(1);
const paths = z.array(path).min(1);
const data = z.base64().min(1);

const KEYS = ['keyPath', 'keyPaths', 'keyData', 'keyDatas'] as const;
/** Fulcio's certificates and those of a PKI stand for keys. */
const KEY_SOURCES = [...KEYS, 'fulcio', 'pki'] as const;

const signedBy = z
  .strictObject({
    type: z.literal('signedBy'),
    keyType: z.enum(['GPGKeys', 'signedByGPGKeys', 'X509Certificates', 'signedByX509CAs']),
    keyPath: path.optional(),
    keyPaths: paths.optional(),
    keyData: data.optional(),
    signedIdentity: identitySchema.optional(),
  })
  .refine((rule) => oneOf(rule, KEYS), 'exactly one of keyPath, keyPaths and keyData says which keys count');

const sigstoreSigned = z
  .strictObject({
    type: z.literal('sigstoreSigned'),
    keyPath: path.optional(),
    keyPaths: paths.optional(),
    keyData: data.optional(),
    keyDatas: z.array(data).min(1).optional(),
    fulcio: z.unknown().optional(),
    rekorPublicKeyPath: z.unknown().optional(),
    rekorPublicKeyPaths: z.unknown().optional(),
    rekorPublicKeyData: z.unknown().optional(),
    rekorPublicKeyDatas: z.unknown().optional(),
    pki: z.unknown().optional(),
    signedIdentity: identitySchema.optional(),
  })
  .refine(
    (rule) => oneOf(rule, KEY_SOURCES),
    'exactly one of keyPath, keyPaths, keyData, keyDatas, fulcio and pki says which keys count',
  );

const requirementSchema = z.discriminatedUnion(
  'type',
  [
    z.strictObject({ type: z.literal('insecureAcceptAnything') }),
    z.strictObject({ type: z.literal('reject') }),
    signedBy,
    z.strictObject({ type: z.literal('signedBaseLayer'), baseLayerIdentity: identitySchema }),
    sigstoreSigned,
  ],
  {
    error: ({ code, input }) =>
      code === 'invalid_union'
        ? `${JSON.stringify((input as { type?: unknown } | undefined)?.type)} is a requirement that is not known here`
        : undefined,
  },
);

// No requirement at all would let everything in, which nobody means by an empty list.
const requirements = z.array(requirementSchema).min(1);

/** A folder or file, as scopes name them. */
const PLACE = /^(?:\/(?!\.{1,2}(?:\/|$))[^/]+)+$/;
/** What scopes of a transport look like, where they could look wrong. */
const SCOPES: Readonly<Record<string, RegExp>> = {
  dir: PLACE,
  oci: PLACE,
  'oci-archive': PLACE,
  'docker-archive': /^(?!)/,
  'containers-storage': /^\[(?:[^@\]]+@)?\/[^\]]*\]/,
};

const transports = z.record(z.string(), z.record(z.string(), requirements)).superRefine((all, context) => {
  for (const [transport, scopes] of Object.entries(all)) {
    const form = Object.hasOwn(SCOPES, transport) ? SCOPES[transport] : undefined;
    for (const scope of Object.keys(scopes)) {
      if (scope !== '' && form?.test(scope) === false)
        context.addIssue({
          code: 'custom',
          path: [transport, scope],
          message: `no image of ${transport}: is in this scope`,
        });
    }
  }
});

export const policySchema = z.strictObject({ default: requirements, transports: transports.default({}) });

export type Requirement = z.output<typeof requirementSchema>;
/** One that signatures have to fulfil. */
export type SignatureRequirement = Extract<Requirement, { type: 'signedBy' | 'sigstoreSigned' }>;

/** Whether a rule is about signatures of the whole image. */
export function verifiesSignatures({ type }: Requirement): boolean {
  return type === 'signedBy' || type === 'sigstoreSigned';
}

function oneOf(rule: object, keys: readonly string[]): boolean {
  return keys.filter((key) => Object.hasOwn(rule, key)).length === 1;
}
