/**
 * The module that a thread or a process starts with: of sources it is the module itself; of a build, the one file that
 * `tools/bundle.ts` makes of it and of all that it imports, which starts much faster.
 *
 * @param name of the module, without its suffix
 * @param from `import.meta.url` of a module beside it
 */
export function programUrl(name: string, from: string): URL {
  return new URL(`./${name}${from.endsWith('.ts') ? '.ts' : '.bundle.js'}`, from);
}
