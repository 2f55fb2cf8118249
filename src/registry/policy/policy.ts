// policy.json: which images may be used, by where they come from and who signed them.
// Source: containers-policy.json(5); go.podman.io/image signature.
import { join } from 'node:path';
import { BridgeError } from '../../errors.js';
import { debug } from '../../debug.js';
import {
  configDirs,
  ownSurroundings,
  parseJsonStrictly,
  readIfThere,
  readNamed,
  type ConfigFile,
  type Surroundings,
} from '../../storage/containers-config.js';
import type { Signature } from '../signatures/signature.js';
import type { Admit, ImageToCheck, PolicySubject } from './image-to-check.js';
import { policySchema, verifiesSignatures, type Requirement } from './requirements.js';

export interface Policy {
  path: string;
  default: readonly Requirement[];
  /** by transport and scope */
  transports: Readonly<Record<string, Readonly<Record<string, readonly Requirement[]>>>>;
}

export interface PolicyChoice {
  /** what decides: this policy.json, or else the user's or the system's; or `any` image comes in */
  policy?: { file: string } | Policy | 'any' | undefined;
  /** at least one rule must be about signatures */
  requireSigned?: boolean | undefined;
}

/**
 * Who lets images in.
 * @param onWarning hears when there is no policy.json
 * @returns undefined when all may come
 * @throws NotFoundError for the named file, FormatError `BAD_CONFIG`
 */
export function admission(
  { policy, requireSigned = false }: PolicyChoice,
  surroundings: Surroundings = ownSurroundings(),
  onWarning?: (text: string) => void,
): Admit | undefined {
  const decides = policy === 'any' || (policy !== undefined && 'default' in policy) ? policy : read();
  if (decides === 'any' || decides === undefined) return requireSigned ? refuseUnsigned : undefined;
  return (image, options) => checkPolicy(decides, image, { requireSigned, surroundings, ...options });

  function read(): Policy | undefined {
    const named = policy !== undefined && policy !== 'any' && 'file' in policy ? policy.file : undefined;
    const found = readPolicy(surroundings, named);
    if (found === undefined) onWarning?.('there is no policy.json: images are taken whoever signed them');
    else debug(() => `policy: ${found.path}`);
    return found;
  }
}

/**
 * Reads policy.json: the one that CONTAINERS_POLICY_JSON names, the user's, or else the system's.
 * @param named the file to read instead
 * @returns undefined when there is none
 * @throws NotFoundError for the named one, FormatError `BAD_CONFIG`
 */
export function readPolicy(surroundings: Surroundings, named?: string): Policy | undefined {
  if (named !== undefined) return parsePolicy(readNamed(named, 'the command line'));
  const inEnvironment = surroundings.env['CONTAINERS_POLICY_JSON'];
  if (inEnvironment) return parsePolicy(readNamed(inEnvironment));
  for (const dir of configDirs(surroundings)) {
    const path = join(dir, 'policy.json');
    const text = readIfThere(path);
    if (text !== undefined) return parsePolicy({ path, text });
  }
  return undefined;
}

export interface CheckOptions {
  requireSigned?: boolean | undefined;
  surroundings?: Surroundings | undefined;
  signal?: AbortSignal | undefined;
}

/**
 * Whether a policy lets an image in. All rules of the smallest scope that holds it have to.
 * @throws BridgeError `POLICY` naming the rule; what `signatures` throws; NotFoundError, FormatError `BAD_CONFIG` for
 *   keys
 */
export async function checkPolicy(policy: Policy, image: ImageToCheck, options: CheckOptions = {}): Promise<void> {
  const { requireSigned, signal, surroundings = ownSurroundings() } = options;
  const { subject } = image;
  const { scope, rules } = rulesFor(policy, subject);
  // Where there are several rules the signatures are looked for once.
  let found: Promise<readonly Signature[]> | undefined;
  const signatures = (): Promise<readonly Signature[]> => (found ??= image.signatures());
  for (const rule of rules) {
    const problem = await problemWith(rule, { ...image, signatures }, surroundings, signal);
    if (problem !== undefined)
      throw new BridgeError(
        'POLICY',
        `${subject.shown} is refused: ${policy.path} demands ${JSON.stringify(rule.type)} for ${scope}${problem}`,
      );
  }
  if (requireSigned && !rules.some(verifiesSignatures))
    throw new BridgeError(
      'POLICY',
      `${subject.shown} is refused: a signature has to be verified, and ${policy.path} demands none for ${scope}`,
    );
}

/** Why a rule does not let an image in. */
async function problemWith(
  rule: Requirement,
  image: ImageToCheck,
  { env }: Surroundings,
  signal: AbortSignal | undefined,
): Promise<string | undefined> {
  switch (rule.type) {
    case 'insecureAcceptAnything':
      return undefined;
    case 'reject':
      return '';
    case 'signedBaseLayer':
      return ', which is not verified here';
    case 'signedBy':
    case 'sigstoreSigned': {
      // What verifies signatures is loaded when there is a rule about them.
      const { problemWithSignatures } = await import('./signed.js');
      return problemWithSignatures(rule, image, env, signal);
    }
  }
}

function rulesFor(
  policy: Policy,
  { transport, scopes }: PolicySubject,
): { scope: string; rules: readonly Requirement[] } {
  const rules = Object.hasOwn(policy.transports, transport) ? policy.transports[transport] : undefined;
  for (const scope of [...scopes, '']) {
    if (rules !== undefined && Object.hasOwn(rules, scope))
      return {
        scope: scope || (transport === 'docker' ? 'all registries' : `all of ${transport}:`),
        rules: rules[scope] as readonly Requirement[],
      };
  }
  return { scope: 'everything', rules: policy.default };
}

function parsePolicy(file: ConfigFile): Policy {
  return { path: file.path, ...parseJsonStrictly(policySchema, file) };
}

async function refuseUnsigned({ subject }: ImageToCheck): Promise<void> {
  throw new BridgeError(
    'POLICY',
    `${subject.shown} is refused: a signature has to be verified, and there is no policy that demands one`,
  );
}
