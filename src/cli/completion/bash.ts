import { optionsWithChoices, optionsWithFreeValue, type CommandGrammar } from './grammar.js';

/**
 * A bash completion script. It finds the command by walking the words before the cursor, then offers that
 * command's subcommands, options and values; where it has none to offer, bash completes file names.
 */
export function bashCompletion(commands: readonly CommandGrammar[]): string {
  const known = commands.slice(1).map(({ path }) => `"${path}"`);
  const values = optionsWithChoices(commands).map(
    ({ name, choices }) => `    ${name}) COMPREPLY=($(compgen -W '${choices.join(' ')}' -- "$cur")); return ;;`,
  );
  const words = commands.map(({ path, subcommands, options, values }) => {
    const plain = [...subcommands.map(({ name }) => name), ...values].join(' ');
    return `    "${path}") words='${plain}' options='${options.map(({ name }) => name).join(' ')}' ;;`;
  });
  return `# bash completion for cfsbridge
_cfsbridge() {
  local cur=\${COMP_WORDS[COMP_CWORD]} prev=\${COMP_WORDS[COMP_CWORD-1]} path=cfsbridge words options i
  for ((i = 1; i < COMP_CWORD; i++)); do
    case "$path \${COMP_WORDS[i]}" in
      ${known.join('|')}) path="$path \${COMP_WORDS[i]}" ;;
    esac
  done
  case "$prev" in
${values.join('\n')}
    ${optionsWithFreeValue(commands).join('|')}) COMPREPLY=(); return ;;
  esac
  case "$path" in
${words.join('\n')}
  esac
  [[ $cur == -* ]] && words=$options
  COMPREPLY=($(compgen -W "$words" -- "$cur"))
}
complete -o default -F _cfsbridge cfsbridge
`;
}
