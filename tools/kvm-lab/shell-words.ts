/** Words as the shell of `guest/serve` reads them from one line, where `$newline` stands for a line break. */
export function shellWords(words: readonly string[]): string {
  return words.map((word) => `'${word.replaceAll("'", `'\\''`).replaceAll('\n', `'"$newline"'`)}'`).join(' ');
}
