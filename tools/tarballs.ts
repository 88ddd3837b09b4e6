import { execFile } from 'node:child_process';
import { mkdir, realpath, stat, symlink, writeFile } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';
import type { WorkspacePackage } from './workspace.ts';

const run = promisify(execFile);

/** A package as `pnpm publish` would send it to a registry. */
export interface Tarball {
  readonly source: WorkspacePackage;
  /** Of the `.tgz`, absolute. */
  readonly path: string;
  /** What is in it, relative to the package. */
  readonly files: readonly string[];
}

/** Packs a package that has been built. The scripts that run before publishing run: add-ons are prebuilt. */
export async function pack(source: WorkspacePackage, destination: string): Promise<Tarball> {
  const path = join(destination, `${source.folder}.tgz`);
  await run('pnpm', ['pack', '--out', path], { cwd: source.directory });
  const { stdout } = await run('tar', ['--list', '--gzip', '--file', path]);
  const files = stdout.split('\n').filter((line) => line !== '' && !line.endsWith('/'));
  return { source, path, files: files.map((line) => line.replace(/^package\//, '')).toSorted() };
}

/** The programs that a machine without a compiler offers npm. */
const PLAIN_PROGRAMS = ['npm', 'sh'];

/** Makes a directory of programs for a PATH on which there is Node, npm and a shell, and no compiler. */
export async function plainPath(directory: string): Promise<string> {
  await mkdir(directory);
  await symlink(process.execPath, join(directory, 'node'));
  for (const program of PLAIN_PROGRAMS) await symlink(await find(program), join(directory, program));
  return directory;
}

async function find(program: string): Promise<string> {
  for (const directory of (process.env.PATH ?? '').split(delimiter)) {
    const path = join(directory, program);
    if (await stat(path).catch(() => undefined)) return await realpath(path);
  }
  throw new Error(`There is no ${program} on the PATH.`);
}

/**
 * Installs tarballs with npm into an empty directory, as a project outside of the workspace does.
 *
 * @param wanted what the project depends on.
 * @param all where npm finds the packages of the workspace: no registry has them.
 * @param path the PATH that npm and the packages' scripts have.
 */
export async function installWithNpm(
  directory: string,
  wanted: readonly Tarball[],
  all: readonly Tarball[],
  path: string,
): Promise<void> {
  const specifiers = (tarballs: readonly Tarball[]) =>
    Object.fromEntries(tarballs.map((tarball) => [tarball.source.manifest.name, `file:${tarball.path}`]));
  await mkdir(directory);
  const manifest = { private: true, dependencies: specifiers(wanted), overrides: specifiers(all) };
  await writeFile(join(directory, 'package.json'), JSON.stringify(manifest));
  const options = ['--no-audit', '--no-fund', '--no-update-notifier', '--prefer-offline'];
  await run('npm', ['install', ...options], {
    cwd: directory,
    env: { ...consumerEnvironment(), PATH: path },
  });
}

/** The environment without what pnpm sets for the scripts of the workspace, which npm would take as its own. */
export function consumerEnvironment(): NodeJS.ProcessEnv {
  const inherited = Object.entries(process.env).filter(
    ([name]) =>
      !/^(?:npm_|pnpm_|NODE_|VITEST)/i.test(name) || /registry|proxy|ca(?:file)?$|_CA_CERTS$/i.test(name),
  );
  return Object.fromEntries(inherited);
}

/** Runs a program in TypeScript under the Node that runs this one; gives what it prints. */
export async function runProgram(source: string, directory: string): Promise<string> {
  const { stdout } = await run(process.execPath, ['--eval', source], {
    cwd: directory,
    env: consumerEnvironment(),
  });
  return stdout;
}
