import { damaged, readSections } from './elf.ts';

/** What a kernel module says of itself in its `.modinfo` section. */
export interface ModuleInfo {
  /** Names of the modules whose symbols it uses; loaded before it. */
  readonly depends: readonly string[];
  /** Names or aliases of modules it asks to be loaded before it (`softdep=pre:`). */
  readonly softDepends: readonly string[];
  /** Glob patterns over modaliases, and names such as `fs-ext4`, that stand for it. */
  readonly aliases: readonly string[];
}

/**
 * Reads the `.modinfo` section (NUL-separated `key=value` strings) of a 64-bit little-endian ELF module.
 * @throws {GuestImageError} BAD_MODULE for anything else, and for headers that point outside of the file
 */
export function readModuleInfo(module: Uint8Array): ModuleInfo {
  const section = readSections(module).find(({ name }) => name === '.modinfo');
  if (!section) throw damaged('it has no .modinfo section');
  const depends: string[] = [];
  const softDepends: string[] = [];
  const aliases: string[] = [];
  for (const entry of new TextDecoder('latin1').decode(section.data).split('\0')) {
    const separator = entry.indexOf('=');
    const value = entry.slice(separator + 1);
    switch (entry.slice(0, Math.max(separator, 0))) {
      case 'depends':
        depends.push(...value.split(',').filter((name) => name !== ''));
        break;
      case 'softdep':
        softDepends.push(...preDependencies(value));
        break;
      case 'alias':
        aliases.push(value);
        break;
    }
  }
  return { depends, softDepends, aliases };
}

/** The names after `pre:` and before `post:`. */
function preDependencies(softdep: string): string[] {
  const names: string[] = [];
  let isPre = false;
  for (const word of softdep.split(/\s+/)) {
    if (word === 'pre:' || word === 'post:') isPre = word === 'pre:';
    else if (isPre && word !== '') names.push(word);
  }
  return names;
}
