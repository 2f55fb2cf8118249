// Parser of the varlink interface definition language, https://varlink.org/Interface-Definition.
import { FormatError } from '../../errors.js';
import { INTERFACE_DEPTH_LIMIT } from '../../limits.js';

export type IdlType =
  | { kind: 'bool' | 'int' | 'float' | 'string' | 'object' | 'any' }
  | { kind: 'array' | 'dict' | 'optional'; of: IdlType }
  | { kind: 'named'; name: string }
  | { kind: 'enum'; values: ReadonlySet<string> }
  | IdlStruct;

export interface IdlStruct {
  kind: 'struct';
  fields: ReadonlyMap<string, IdlType>;
}

interface IdlMethod {
  input: IdlStruct;
  output: IdlStruct;
}

export interface IdlInterface {
  name: string;
  types: ReadonlyMap<string, IdlType>;
  methods: ReadonlyMap<string, IdlMethod>;
  errors: ReadonlyMap<string, IdlStruct>;
}

const TOKEN = /[ \t\r\n]+|#[^\n]*|(->|\[\]|\[string\]|[?(),:]|[A-Za-z][A-Za-z0-9_.-]*)/y;
const INTERFACE_NAME = /^[A-Za-z]([A-Za-z0-9]|-(?=[A-Za-z0-9]))*(\.[A-Za-z0-9]([A-Za-z0-9]|-+(?=[A-Za-z0-9]))*)+$/;
const TYPE_NAME = /^[A-Z][A-Za-z0-9]*$/;
const FIELD_NAME = /^[A-Za-z](_?[A-Za-z0-9])*$/;
const BASIC = new Set(['bool', 'int', 'float', 'string', 'object', 'any']);

/**
 * Parses an interface definition. Comments are skipped.
 * @throws FormatError `IDL`, with the offset in characters
 */
export function parseIdl(text: string): IdlInterface {
  return new Parser(text).interface();
}

class Parser {
  readonly #text: string;
  #at = 0;
  #depth = 0;
  /** The next token; the empty string at the end. */
  #token = '';

  constructor(text: string) {
    this.#text = text;
    this.#advance();
  }

  interface(): IdlInterface {
    this.#expect('interface');
    const name = this.#name(INTERFACE_NAME, 'an interface name');
    const types = new Map<string, IdlType>();
    const methods = new Map<string, IdlMethod>();
    const errors = new Map<string, IdlStruct>();
    while (this.#token !== '') {
      const keyword = this.#next();
      const member = this.#name(TYPE_NAME, 'the name of a type, method or error');
      if (types.has(member) || methods.has(member) || errors.has(member))
        throw this.#error(`${member} is defined twice`);
      if (keyword === 'type') types.set(member, this.#structOrEnum());
      else if (keyword === 'method') methods.set(member, this.#method());
      else if (keyword === 'error') errors.set(member, this.#struct());
      else throw this.#error(`"${keyword}" where type, method or error is due`);
    }
    const parsed = { name, types, methods, errors };
    checkNames(parsed);
    return parsed;
  }

  #method(): IdlMethod {
    const input = this.#struct();
    this.#expect('->');
    return { input, output: this.#struct() };
  }

  #struct(): IdlStruct {
    const type = this.#structOrEnum();
    if (type.kind !== 'struct') throw this.#error('an enum where a struct is due');
    return type;
  }

  #structOrEnum(): IdlStruct | (IdlType & { kind: 'enum' }) {
    if (++this.#depth > INTERFACE_DEPTH_LIMIT) throw this.#error(`types nest deeper than ${INTERFACE_DEPTH_LIMIT}`);
    this.#expect('(');
    const fields = new Map<string, IdlType>();
    const values = new Set<string>();
    while (this.#token !== ')') {
      const name = this.#name(FIELD_NAME, 'a field name');
      if (fields.has(name) || values.has(name)) throw this.#error(`${name} is there twice`);
      if (this.#accept(':')) fields.set(name, this.#type());
      else values.add(name);
      if (fields.size > 0 && values.size > 0) throw this.#error('a field without a type, or an enum value with one');
      if (this.#token !== ')') this.#expect(',');
    }
    this.#expect(')');
    this.#depth--;
    return values.size > 0 ? { kind: 'enum', values } : { kind: 'struct', fields };
  }

  #type(): IdlType {
    if (this.#accept('?')) {
      if (this.#token === '?') throw this.#error('?? makes no sense');
      return { kind: 'optional', of: this.#nested() };
    }
    if (this.#accept('[]')) return { kind: 'array', of: this.#nested() };
    if (this.#accept('[string]')) return { kind: 'dict', of: this.#nested() };
    if (this.#token === '(') return this.#structOrEnum();
    if (BASIC.has(this.#token)) return { kind: this.#next() as 'bool' | 'int' | 'float' | 'string' | 'object' | 'any' };
    return { kind: 'named', name: this.#name(TYPE_NAME, 'a type') };
  }

  #nested(): IdlType {
    if (++this.#depth > INTERFACE_DEPTH_LIMIT) throw this.#error(`types nest deeper than ${INTERFACE_DEPTH_LIMIT}`);
    const type = this.#type();
    this.#depth--;
    return type;
  }

  #name(pattern: RegExp, what: string): string {
    if (!pattern.test(this.#token)) throw this.#error(`"${this.#token}" where ${what} is due`);
    return this.#next();
  }

  #accept(token: string): boolean {
    if (this.#token !== token) return false;
    this.#advance();
    return true;
  }

  #expect(token: string): void {
    if (!this.#accept(token)) throw this.#error(`"${this.#token}" where "${token}" is due`);
  }

  #next(): string {
    const token = this.#token;
    this.#advance();
    return token;
  }

  #advance(): void {
    this.#token = '';
    while (this.#token === '' && this.#at < this.#text.length) {
      TOKEN.lastIndex = this.#at;
      const match = TOKEN.exec(this.#text);
      if (!match) throw this.#error(`unexpected ${JSON.stringify(this.#text[this.#at])}`);
      this.#at = TOKEN.lastIndex;
      this.#token = match[1] ?? '';
    }
  }

  #error(message: string): FormatError {
    return new FormatError('IDL', `interface definition: ${message}`, { place: { offset: this.#at } });
  }
}

function checkNames({ types, methods, errors }: IdlInterface): void {
  const check = (type: IdlType): void => {
    if ('of' in type) check(type.of);
    else if (type.kind === 'struct') for (const field of type.fields.values()) check(field);
    else if (type.kind === 'named' && !types.has(type.name))
      throw new FormatError('IDL', `interface definition: type ${type.name} is not defined`);
  };
  for (const type of types.values()) check(type);
  for (const { input, output } of methods.values()) [input, output].forEach(check);
  for (const type of errors.values()) check(type);
}
