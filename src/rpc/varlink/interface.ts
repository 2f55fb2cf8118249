import { readFileSync } from 'node:fs';
import type * as z from 'zod';
import { protoFile } from '../../proto.js';
import { parseIdl, type IdlInterface, type IdlStruct } from './idl.js';
import { findMisfit, type Misfit } from './idl-check.js';
import { VarlinkMethodError, type Parameters } from './varlink-error.js';

/** What both ends send, as types. */
export interface MethodShape<P extends object, R extends object> {
  parameters: z.ZodType<P>;
  reply: z.ZodType<R>;
}

/** One method of an interface: what both ends send is checked on arrival, by the interface definition. */
export interface VarlinkMethod<P extends object, R extends object> {
  /** qualified */
  name: string;
  /** The same shapes for the compiler; tests hold them against the definition. */
  shape: MethodShape<P, R> | undefined;
  /**
   * Whether it has parameters and results at all. zlink refuses empty parameters where there are none, and asks for
   * them where all are optional.
   */
  takes: boolean;
  returns: boolean;
  misfitOfParameters(value: Parameters): Misfit | undefined;
  misfitOfReply(value: Parameters): Misfit | undefined;
}

/** An interface with its definition, which says what its messages look like. */
export class VarlinkInterface {
  /** The definition as text, for GetInterfaceDescription. */
  readonly description: string;
  readonly idl: IdlInterface;

  /** @throws FormatError `IDL` */
  constructor(description: string) {
    this.description = description;
    this.idl = parseIdl(description);
  }

  /** An interface of this package, defined by `proto/FILE`. */
  static fromProto(file: string): VarlinkInterface {
    return new VarlinkInterface(readFileSync(protoFile(file), 'utf8'));
  }

  get name(): string {
    return this.idl.name;
  }

  /** A method of the definition. Its shape has to be what that says; optional members may be null. */
  method<P extends object, R extends object>(name: string, shape?: MethodShape<P, R>): VarlinkMethod<P, R> {
    const method = this.idl.methods.get(name);
    if (method === undefined) throw new TypeError(`${this.name} has no method ${name}`);
    const check = (type: IdlStruct) => (value: Parameters) => findMisfit(type, value, this.idl.types);
    const { input, output } = method;
    return {
      name: `${this.name}.${name}`,
      shape,
      takes: input.fields.size > 0,
      returns: output.fields.size > 0,
      misfitOfParameters: check(input),
      misfitOfReply: check(output),
    };
  }

  /** An error of the definition, for a handler to throw. */
  error(name: string, parameters: Parameters = {}): VarlinkMethodError {
    const type = this.idl.errors.get(name);
    const misfit =
      type === undefined ? { path: name, problem: 'no such error' } : findMisfit(type, parameters, this.idl.types);
    if (misfit) throw new TypeError(`${this.name}: ${misfit.path}: ${misfit.problem}`);
    return new VarlinkMethodError(`${this.name}.${name}`, parameters);
  }
}
