// What types are compared with. Each claim is checked by tsc; there is nothing to run.

/** Whether two types are the same, `readonly` included. */
export type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;

/** Does not compile unless what it is given is `true`. */
export type Expect<T extends true> = T;

/** Members whose names are those of a wire or of a file. */
export type SnakeCase<T> = Extract<keyof T, `${string}_${string}`>;

/** Members that may be assigned to. */
export type Writable<T> = {
  [K in keyof T]-?: Equal<Pick<T, K>, { -readonly [P in K]: T[P] }> extends true ? K : never;
}[keyof T];
