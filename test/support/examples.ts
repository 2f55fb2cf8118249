// The programs on the pages and in the comments of the sources, and what they are said to print.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../../..', import.meta.url));
const tsc = join(createRequire(join(root, 'package.json')).resolve('typescript/package.json'), '../bin/tsc');

export interface Example {
  /** the page, or the source and what the comment is about */
  title: string;
  language: 'ts' | 'js';
  code: string;
  /** a block behind the program, which is all that it prints */
  output: string | undefined;
}

/** All programs of README.md and docs. */
export function pageExamples(): Example[] {
  const pages = ['README.md', ...readdirSync(join(root, 'docs')).map((name) => `docs/${name}`)];
  return pages
    .filter((page) => page.endsWith('.md'))
    .flatMap((page) =>
      [...readFileSync(join(root, page), 'utf8').matchAll(/^```(js|ts)\n([^]*?)^```$(?:\n+^```\n([^]*?)^```$)?/gm)].map(
        ([, language, code = '', output], number) => ({
          title: `${page}, ${number + 1}`,
          language: language === 'js' ? 'js' : 'ts',
          code,
          output,
        }),
      ),
    );
}

/** All `@example` of the sources. */
export function sourceExamples(): Example[] {
  return readdirSync(join(root, 'src'), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts'))
    .sort()
    .flatMap((name) =>
      [...readFileSync(join(root, 'src', name), 'utf8').matchAll(/@example\n([^]*?)\*\/\n(.*)/g)].map(
        ([, comment = '', declaration = '']) => ({
          title: `src/${name}, ${/(?:function\*?|class|static(?: async)?) (\w+)/.exec(declaration)?.[1]}`,
          language: 'ts',
          code: /```ts\n([^]*?)```/.exec(comment.replace(/^ *\* ?/gm, ''))?.[1] ?? '',
          output: undefined,
        }),
      ),
    );
}

/**
 * Compiles examples in a folder in which nothing is set up but the package, as strictly as can be. JavaScript is checked,
 * too, and stays as it is.
 * @returns the programs, in the examples' order
 * @throws what tsc says
 */
export function compileExamples(folder: string, examples: readonly Example[]): string[] {
  mkdirSync(join(folder, 'node_modules'), { recursive: true });
  const link = join(folder, 'node_modules/composefs-bridge');
  if (!existsSync(link)) symlinkSync(root, link);
  // No package of a folder above is meant.
  writeFileSync(join(folder, 'package.json'), '{"private":true}');
  const names = examples.map(({ language }, number) => `example${number}.m${language}`);
  for (const [number, { code }] of examples.entries()) writeFileSync(join(folder, names[number]!), code);
  const of = (language: string): string[] => names.filter((name) => name.endsWith(language));
  const options = ['--module', 'nodenext', '--target', 'es2022'];
  compile(folder, ['--strict', '--noEmitOnError', ...options, ...of('ts')]);
  if (of('js').length > 0)
    compile(folder, ['--strict', 'false', '--allowJs', '--checkJs', '--noEmit', ...options, ...of('js')]);
  return names.map((name) => join(folder, name.replace(/ts$/, 'js')));
}

/** @throws what tsc says */
export function compile(folder: string, args: readonly string[]): void {
  const { status, stdout, stderr } = spawnSync(process.execPath, [tsc, ...args], { cwd: folder, encoding: 'utf8' });
  if (status !== 0) throw new Error(stdout + stderr);
}

/**
 * What an example prints: the block behind it, or the comments behind `console.log`, each of which may be printed
 * several times, in several lines as well. `…` stands for anything.
 * @returns undefined when nothing is said about it
 */
export function promisedOutput({ code, output }: Example): RegExp | undefined {
  const pattern = (text: string): string => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&').replaceAll('…', '.*');
  if (output !== undefined) return new RegExp(`^${pattern(output)}$`);
  const printed = [...code.matchAll(/console\.log\(.*\); \/\/ (.*)$/gm)].map(([, text = '']) =>
    pattern(text).replaceAll(' ', '\\s+'),
  );
  return printed.length === 0 ? undefined : new RegExp(`^${printed.map((line) => `(?:${line}\n)+`).join('')}$`);
}
