import { VarlinkInterface } from './interface.js';
import type { VarlinkMethodError } from './varlink-error.js';

/** The interface that every varlink service has. */
export const serviceInterface = VarlinkInterface.fromProto('org.varlink.service.varlink');

/** The reply of GetInfo. */
export interface ServiceInfo {
  vendor: string;
  product: string;
  version: string;
  url: string;
  interfaces: string[];
}

export const serviceMethods = {
  GetInfo: serviceInterface.method<object, ServiceInfo>('GetInfo'),
  GetInterfaceDescription: serviceInterface.method<{ interface: string }, { description: string }>(
    'GetInterfaceDescription',
  ),
};

export const serviceErrors = {
  interfaceNotFound: (name: string): VarlinkMethodError =>
    serviceInterface.error('InterfaceNotFound', { interface: name }),
  methodNotFound: (method: string): VarlinkMethodError => serviceInterface.error('MethodNotFound', { method }),
  methodNotImplemented: (method: string): VarlinkMethodError =>
    serviceInterface.error('MethodNotImplemented', { method }),
  /** @param parameter where in the parameters, as in `params.diff_id` */
  invalidParameter: (parameter: string): VarlinkMethodError =>
    serviceInterface.error('InvalidParameter', { parameter }),
  expectedMore: (): VarlinkMethodError => serviceInterface.error('ExpectedMore'),
};
