import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The directory of the workspace. */
export const ROOT = fileURLToPath(new URL('..', import.meta.url));

/** What the tools and tests of the workspace read in a `package.json`. */
export interface Manifest {
  readonly name: string;
  readonly version: string;
  readonly description?: string;
  readonly license?: string;
  readonly type?: string;
  readonly repository?: { readonly directory?: string };
  readonly engines?: Readonly<Record<string, string>>;
  readonly exports?: Readonly<Record<string, Readonly<Record<string, string>>>>;
  readonly bin?: Readonly<Record<string, string>>;
  readonly files?: readonly string[];
  readonly scripts?: Readonly<Record<string, string>>;
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly devDependencies?: Readonly<Record<string, string>>;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
}

/** A package of the workspace. */
export interface WorkspacePackage {
  /** The name of its directory under `packages/`, by which ARCHITECTURE.md calls it. */
  readonly folder: string;
  /** Absolute. */
  readonly directory: string;
  readonly manifest: Manifest;
}

export function readManifest(directory: string): Manifest {
  return JSON.parse(readFileSync(join(directory, 'package.json'), 'utf8'));
}

/** All packages, sorted by the names of their directories. */
export function workspacePackages(): readonly WorkspacePackage[] {
  return globSync('packages/*/package.json', { cwd: ROOT })
    .map((path) => path.split('/')[1] ?? '')
    .toSorted()
    .map((folder) => {
      const directory = join(ROOT, 'packages', folder);
      return { folder, directory, manifest: readManifest(directory) };
    });
}

/** The first ```ts block of a package's README: the example that must run. */
export function readmeExample(directory: string): string | undefined {
  return /^```ts\n(.*?)^```$/ms.exec(readFileSync(join(directory, 'README.md'), 'utf8'))?.[1];
}
