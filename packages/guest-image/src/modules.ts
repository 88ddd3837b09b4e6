import { readdir, readFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { basename, join, relative } from 'node:path';
import { decompressModule } from './decompress.ts';
import { GuestImageError } from './errors.ts';
import { type ModuleInfo, readModuleInfo } from './modinfo.ts';

/** A kernel module, ready to be put into an initramfs. */
export interface KernelModule extends ModuleInfo {
  /** With underscores, as the kernel calls it. */
  readonly name: string;
  /** Path below the modules directory, without the suffix of its compression: `kernel/fs/ext4/ext4.ko`. */
  readonly path: string;
  /** Decompressed. */
  readonly data: Uint8Array;
}

/** Modules by name, closed under their dependencies. */
export type ModuleSet = ReadonlyMap<string, KernelModule>;

const MODULE_FILE = /\.ko(\.(xz|gz|zst))?$/;

/** The kernel's spelling of a module's name: `virtio-rng` is `virtio_rng`. */
export function moduleName(nameOrPath: string): string {
  return basename(nameOrPath).replace(MODULE_FILE, '').replaceAll('-', '_');
}

/**
 * Reads modules and all that they depend on from a modules directory (`/lib/modules/VERSION`). What is built into
 * the kernel is left out.
 * @param names modules that must be there, by name
 * @param optionalNames modules that are taken when this kernel has them
 * @throws {GuestImageError} BAD_MODULE when one of `names`, or a dependency, is neither a file nor built in
 */
export async function readModules(
  directory: string,
  names: Iterable<string>,
  optionalNames: Iterable<string> = [],
  signal?: AbortSignal,
): Promise<ModuleSet> {
  const files = await moduleFiles(directory);
  const builtin = new Set((await readBuiltin(directory)).split('\n').map(moduleName));
  const modules = new Map<string, KernelModule>();
  const wanted = new Set<string>();
  for (const name of optionalNames) if (files.has(moduleName(name))) wanted.add(moduleName(name));
  const want = (name: string, wantedBy: string) => {
    if (builtin.has(name)) return;
    if (!files.has(name)) {
      throw new GuestImageError(
        'BAD_MODULE',
        `${wantedBy} the module '${name}', which ${directory} does not have.`,
      );
    }
    wanted.add(name);
  };
  for (const name of names) want(moduleName(name), 'The guest shall have');

  // Each round reads what the one before has found to be needed.
  for (let pending = wanted; pending.size > 0; pending = wanted.difference(modules)) {
    const queue = pending.values();
    const lane = async () => {
      for (const name of queue) {
        const file = files.get(name) ?? '';
        const data = await decompressModule(file, await readFile(join(directory, file)), signal);
        const info = readModuleInfo(data);
        modules.set(name, { name, path: file.replace(/\.(xz|gz|zst)$/, ''), data, ...info });
        for (const dependency of info.depends) want(moduleName(dependency), `The module '${name}' needs`);
      }
    };
    await Promise.all(Array.from({ length: availableParallelism() }, lane));
  }
  return modules;
}

async function moduleFiles(directory: string): Promise<Map<string, string>> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true });
  const files = new Map<string, string>();
  for (const entry of entries) {
    if (!entry.isFile() || !MODULE_FILE.test(entry.name)) continue;
    files.set(moduleName(entry.name), relative(directory, join(entry.parentPath, entry.name)));
  }
  return files;
}

/** modules.builtin: the paths of the modules that are part of the kernel, a line for each. */
export async function readBuiltin(directory: string): Promise<string> {
  return readFile(join(directory, 'modules.builtin'), 'utf8').catch(() => '');
}

/**
 * What must be loaded before a module, in the order of loading. Soft dependencies count where the set has them,
 * which spares the guest a call of modprobe by the kernel for each.
 */
export function loadOrder(modules: ModuleSet, name: string): KernelModule[] {
  const byAlias = aliasOwners(modules);
  const order: KernelModule[] = [];
  const seen = new Set<string>();
  const visit = (module: KernelModule) => {
    if (seen.has(module.name)) return;
    seen.add(module.name);
    for (const wanted of [...module.depends, ...module.softDepends]) {
      const dependency = modules.get(moduleName(wanted)) ?? byAlias.get(wanted);
      if (dependency) visit(dependency);
    }
    order.push(module);
  };
  const module = modules.get(moduleName(name));
  if (module) visit(module);
  return order.slice(0, -1);
}

function aliasOwners(modules: ModuleSet): Map<string, KernelModule> {
  const owners = new Map<string, KernelModule>();
  for (const module of modules.values()) for (const alias of module.aliases) owners.set(alias, module);
  return owners;
}

/** modules.dep(5): a line for each module, what it needs behind it, the one to be loaded first at the end. */
export function modulesDep(modules: ModuleSet): string {
  const lines = [...modules.values()].map((module) => {
    const needs = loadOrder(modules, module.name).toReversed();
    return `${module.path}:${needs.map((need) => ` ${need.path}`).join('')}\n`;
  });
  return lines.toSorted().join('');
}

/** modules.alias: `alias PATTERN MODULE` lines. */
export function modulesAlias(modules: ModuleSet): string {
  const lines = [...modules.values()].flatMap((module) =>
    module.aliases.map((alias) => `alias ${alias} ${module.name}\n`),
  );
  return lines.toSorted().join('');
}
