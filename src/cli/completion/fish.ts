import type { CommandGrammar } from './grammar.js';

/** A fish completion script: one `complete` line per word, valid where the words before it lead to its command. */
export function fishCompletion(commands: readonly CommandGrammar[]): string {
  const known = commands.slice(1).map(({ path }) => quote(path));
  return `# fish completion for cfsbridge
function __cfsbridge_at
    set -l at cfsbridge
    for word in (commandline -opc)[2..-1]
        switch "$at $word"
            case ${known.join(' ')}
                set at "$at $word"
        end
    end
    test "$at" = "$argv"
end
# Names in the repository; the program knows them.
function __cfsbridge_names
    set -l words (commandline -opc)
    COMPLETE=fish $words[1] -- $words (commandline -ct) 2>/dev/null | string match -v -- '-*'
end
${commands.flatMap(lines).join('\n')}
`;
}

function lines({ path, subcommands, options, values, named }: CommandGrammar): string[] {
  const here = `complete -c cfsbridge -n ${quote(`__cfsbridge_at ${path}`)}`;
  return [
    ...subcommands.map(({ name, description }) => `${here} -f -a ${name} -d ${quote(description)}`),
    ...values.map((value) => `${here} -f -a ${value}`),
    ...(named ? [`${here} -f -a '(__cfsbridge_names)'`] : []),
    ...options.map(({ name, description, takesValue, choices }) => {
      const value = choices.length > 0 ? ` -x -a ${quote(choices.join(' '))}` : takesValue ? ' -r' : '';
      return `${here} -l ${name.slice(2)}${value} -d ${quote(description)}`;
    }),
  ];
}

function quote(text: string): string {
  return `'${text.replace(/[\\']/g, '\\$&')}'`;
}
