import { BridgeError } from '../../errors.js';

/** Members of a message; JSON that has not been looked at beyond being an object. */
export type Parameters = Record<string, unknown>;

/**
 * The peer answered a call with an error; `error` is its qualified name, such as `org.varlink.service.MethodNotFound`.
 */
export class VarlinkRemoteError extends BridgeError {
  declare readonly code: 'VARLINK_ERROR';
  readonly error: string;
  readonly parameters: Parameters;

  constructor(method: string, error: string, parameters: Parameters) {
    super('VARLINK_ERROR', `${method}: ${error}${describe(parameters)}`);
    this.error = error;
    this.parameters = parameters;
  }
}

/** Thrown by a method's handler to answer with this error; see `VarlinkInterface.error`. */
export class VarlinkMethodError extends BridgeError {
  declare readonly code: 'VARLINK_METHOD_ERROR';
  readonly error: string;
  readonly parameters: Parameters;

  /** @param error the qualified name */
  constructor(error: string, parameters: Parameters) {
    super('VARLINK_METHOD_ERROR', `${error}${describe(parameters)}`);
    this.error = error;
    this.parameters = parameters;
  }
}

/** A peer's error can be as long as any message. */
const LONGEST_DESCRIPTION = 2000;

function describe(parameters: Parameters): string {
  const message = parameters['message'];
  const text = typeof message === 'string' ? message : JSON.stringify(parameters);
  return text === '{}' ? '' : `: ${text.slice(0, LONGEST_DESCRIPTION)}`;
}
