import { Fd } from '../../fd/fd.js';
import { serveImageProxy } from '../../service/proxy/serve.js';
import { hostPlatform } from '../../spec/platform.js';
import { VERSION } from '../../version.js';
import { policyChoice, registryChoice } from '../registry-options.js';
import type { Session } from '../session.js';
import type { ProxyCommandOptions } from './proxy.options.js';

/** `proxy`: answers the program at the other end of a socket until it is done. */
export async function run({ signal }: Session, _: [], options: ProxyCommandOptions): Promise<void> {
  const { sockfd = 0, idleLimit, overrideArch, overrideOs, overrideVariant, userAgentPrefix, sharedBlobDir } = options;
  await serveImageProxy(new Fd(sockfd), {
    signal,
    idleLimit: idleLimit === undefined ? undefined : idleLimit * 1000,
    platform: {
      ...hostPlatform(),
      ...(overrideArch !== undefined && { architecture: overrideArch }),
      ...(overrideOs !== undefined && { os: overrideOs }),
      ...(overrideVariant !== undefined && { variant: overrideVariant }),
    },
    sharedBlobDir,
    policy: policyChoice(options),
    registry: {
      ...registryChoice(options),
      agent: userAgentPrefix === undefined ? undefined : `${userAgentPrefix} cfsbridge/${VERSION}`,
    },
  });
}
