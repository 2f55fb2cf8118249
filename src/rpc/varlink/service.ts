import type { VarlinkInterface } from './interface.js';
import { implement, type VarlinkHandler } from './server.js';
import { serviceErrors, serviceInterface, serviceMethods, type ServiceInfo } from './service-interface.js';

/**
 * The handlers of org.varlink.service.
 * @param interfaces what is served besides
 */
export function serviceHandlers(
  about: Omit<ServiceInfo, 'interfaces'>,
  interfaces: readonly VarlinkInterface[],
): [string, VarlinkHandler][] {
  const all = [...interfaces, serviceInterface];
  return [
    implement(serviceMethods.GetInfo, async () => ({
      parameters: { ...about, interfaces: all.map(({ name }) => name) },
    })),
    implement(serviceMethods.GetInterfaceDescription, async (parameters) => {
      const found = all.find(({ name }) => name === parameters.interface);
      if (found === undefined) throw serviceErrors.interfaceNotFound(parameters.interface);
      return { parameters: { description: found.description } };
    }),
  ];
}
