import { existsSync, globSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { describe, expect, test } from 'vitest';
import {
  ROOT,
  readManifest,
  readmeExample,
  type WorkspacePackage,
  workspacePackages,
} from '../tools/workspace.ts';

const packages = workspacePackages();
const byName = new Map(packages.map((entry) => [entry.manifest.name, entry]));
const architecture = readFileSync(join(ROOT, 'ARCHITECTURE.md'), 'utf8');

/** The names in the first column of the table under a heading, in reading order. */
function tableNames(heading: string): readonly string[] {
  const section = architecture.split(/^## /m).find((text) => text.startsWith(`${heading}\n`)) ?? '';
  const cells = [...section.matchAll(/^\| (`[^|]*) \|/gm)].map(([, cell = '']) => cell);
  return cells.flatMap((cell) => [...cell.matchAll(/`([^`]+)`/g)].map(([, name = '']) => name));
}

interface Import {
  /** Of types only: nothing is left of it at run time. */
  readonly isType: boolean;
  /** Relative to the workspace. */
  readonly file: string;
  readonly specifier: string;
}

/** Sources without their comments, whose examples would pass for code. */
function sources(entry: WorkspacePackage, folder: string): ReadonlyMap<string, string> {
  return new Map(
    globSync(`${folder}/**/*.ts`, { cwd: entry.directory }).map((path) => {
      const text = readFileSync(join(entry.directory, path), 'utf8');
      return [path, text.replace(/\/\*[\s\S]*?\*\//g, '').replace(/^\s*\/\/.*$/gm, '')];
    }),
  );
}

const IMPORT =
  /(?:^(?:import|export)( type)?\b[^;'"]*?\bfrom\s*|^import\s*|\bimport\s*\(\s*)(['"])([^'"\n]+)\2/gm;

function imports(entry: WorkspacePackage, folder: string): readonly Import[] {
  return [...sources(entry, folder)].flatMap(([path, text]) =>
    [...text.matchAll(IMPORT)].map(([, type, , specifier = '']) => ({
      file: join('packages', entry.folder, path),
      isType: type !== undefined,
      specifier,
    })),
  );
}

/** The package part of a specifier that is not relative: `@scope/name` or `name`. */
function packageOf(specifier: string): string {
  return specifier.split('/', specifier.startsWith('@') ? 2 : 1).join('/');
}

const isBare = (specifier: string) => !/^(?:\.|#|node:)/.test(specifier);
const isOurs = (name: string) => byName.has(name);

/** Packages in whose directories the package's bundles look for add-ons and other files (`tools/bundle.ts`). */
function resolvedByBundles(directory: string): readonly string[] {
  return globSync('dist/**/*.bundle.js', { cwd: directory }).flatMap((path) => {
    const text = readFileSync(join(directory, path), 'utf8');
    return [...text.matchAll(/import\.meta\.resolve\((['"])(.*?)\1\)/g)].map(([, , name = '']) => name);
  });
}

/** `file: specifier` of every import in the list, which is empty when the rule holds. */
const shown = (list: readonly Import[]) => list.map(({ file, specifier }) => `${file}: ${specifier}`);

test('the map lists every package', () => {
  expect(tableNames('Packages, from the ground up').toSorted()).toEqual(packages.map(({ folder }) => folder));
});

test('the map lists every dependency we did not write, and no other', () => {
  const tools = [readManifest(ROOT), readManifest(join(ROOT, 'tools/docs'))];
  const all = [...packages.map(({ manifest }) => manifest), ...tools].flatMap((manifest) =>
    Object.keys({ ...manifest.dependencies, ...manifest.devDependencies, ...manifest.optionalDependencies }),
  );
  const theirs = new Set(all.filter((name) => !isOurs(name) && !name.startsWith('@types/')));
  expect(tableNames('Dependencies we did not write').toSorted()).toEqual([...theirs].toSorted());
});

test('add-ons are installed alike', () => {
  const scripts = globSync('packages/*/native/install.mjs', { cwd: ROOT });
  const texts = new Set(scripts.map((path) => readFileSync(join(ROOT, path), 'utf8')));
  expect(scripts.length).toBeGreaterThan(0);
  expect(texts.size).toBe(1);
});

/** What runs wherever JavaScript does: a browser too. */
const PORTABLE = ['acpi', 'cpio', 'fdt', 'keyvalue', 'kernel-loader', 'softcpu', 'struct', 'wasm-emitter'];

/** Files of portable packages that are about Node's threads. */
const NODE_ONLY: readonly string[] = [
  'packages/softcpu/src/core/region/translation-thread.ts',
  'packages/softcpu/src/core/region/translation-worker.ts',
];

describe.for(packages)('packages/$folder', (entry) => {
  const { directory, folder, manifest } = entry;
  const own = imports(entry, 'src');
  const entryPoints = Object.values(manifest.exports ?? {}).map(({ default: path = '' }) =>
    path.replace(/^\.\/dist\//, 'src/').replace(/\.js$/, '.ts'),
  );

  test('imports from the packages above it only', () => {
    const order = tableNames('Packages, from the ground up');
    const above = new Set(order.slice(0, order.indexOf(folder)));
    const declared = Object.keys(manifest.dependencies ?? {}).filter(isOurs);
    expect(declared.filter((name) => !above.has(byName.get(name)?.folder ?? ''))).toEqual([]);
  });

  test('declares what it imports, and imports what it declares', () => {
    const used = new Set(
      own
        .map(({ specifier }) => specifier)
        .filter(isBare)
        .map(packageOf),
    );
    // The add-on's sources include the headers of the one; the other finds or builds the add-on.
    if (existsSync(join(directory, 'binding.gyp'))) used.add('node-addon-api').add('node-gyp-build');
    for (const name of resolvedByBundles(directory)) used.add(name);
    expect([...used].toSorted()).toEqual(Object.keys(manifest.dependencies ?? {}).toSorted());
  });

  test('declares what its tests and benchmarks import', () => {
    const declared = new Set([
      manifest.name,
      ...Object.keys({ ...manifest.dependencies, ...manifest.devDependencies }),
      ...Object.keys(readManifest(ROOT).devDependencies ?? {}),
    ]);
    const theirs = [...imports(entry, 'test'), ...imports(entry, 'bench')];
    expect(
      shown(theirs.filter(({ specifier }) => isBare(specifier) && !declared.has(packageOf(specifier)))),
    ).toEqual([]);
  });

  test('goes through the public faces of other packages', () => {
    const past = own.filter(({ specifier }) => {
      const target = byName.get(packageOf(specifier));
      if (!target) return false;
      const face = `.${specifier.slice(target.manifest.name.length)}`;
      return target === entry || !Object.hasOwn(target.manifest.exports ?? {}, face);
    });
    expect(shown(past)).toEqual([]);
  });

  test('names the files of relative imports, which are its own', () => {
    const wrong = own.filter(({ file, specifier }) => {
      if (!specifier.startsWith('.')) return false;
      const path = relative(join(directory, 'src'), resolve(ROOT, dirname(file), specifier));
      return !specifier.endsWith('.ts') || path.startsWith('..');
    });
    expect(shown(wrong)).toEqual([]);
  });

  if (PORTABLE.includes(folder))
    test('needs no Node', () => {
      const others = Object.keys(manifest.dependencies ?? {}).map((name) => byName.get(name)?.folder ?? name);
      expect(others.filter((name) => !PORTABLE.includes(name))).toEqual([]);
      const modules = own.filter(({ specifier, isType }) => specifier.startsWith('node:') && !isType);
      expect(shown(modules.filter(({ file }) => !NODE_ONLY.includes(file)))).toEqual([]);
      const globals = [...sources(entry, 'src')].filter(([, text]) =>
        /\b(?:Buffer|process|require)\b[.(]/.test(text),
      );
      expect(globals.map(([path]) => path)).toEqual([]);
    });

  test('re-exports in its public face only, by name', () => {
    const reExporting = [...sources(entry, 'src')].filter(([, text]) =>
      /^export\b[^;=]*\bfrom '/m.test(text),
    );
    expect(reExporting.map(([path]) => path).filter((path) => !entryPoints.includes(path))).toEqual([]);
    const starred = [...sources(entry, 'src')].filter(([, text]) => /^export \* from/m.test(text));
    expect(starred.map(([path]) => path)).toEqual([]);
  });

  test('silences no checker', () => {
    const silenced =
      /@ts-(?:ignore|expect-error|nocheck)|biome-ignore(?:-all)?\s+lint\/(?:suspicious\/noExplicitAny|style\/noDefaultExport)/;
    const files = globSync('src/**/*.ts', { cwd: directory });
    expect(files.filter((path) => silenced.test(readFileSync(join(directory, path), 'utf8')))).toEqual([]);
  });

  test('builds what it depends on first', () => {
    const text = readFileSync(join(directory, 'tsconfig.json'), 'utf8').replace(/^\s*\/\/.*$/gm, '');
    const references: readonly { path: string }[] = JSON.parse(text).references;
    const declared = Object.keys(manifest.dependencies ?? {}).filter(isOurs);
    expect(references.map(({ path }) => path.replace('../', '')).toSorted()).toEqual(
      declared.map((name) => byName.get(name)?.folder ?? '').toSorted(),
    );
  });

  test('has the manifest that all have', () => {
    expect(manifest).toMatchObject({
      name: folder === 'cli' ? 'tsvmm' : `@tsvmm/${folder}`,
      description: expect.stringMatching(/\w/),
      license: 'BSD-3-Clause',
      type: 'module',
      repository: { directory: `packages/${folder}` },
      engines: { node: '>=24' },
      files: expect.arrayContaining(['dist', '!dist/.tsbuildinfo', 'src']),
    });
    const ranges = Object.entries(manifest.dependencies ?? {}).filter(([name]) => isOurs(name));
    expect(ranges.filter(([, range]) => range !== 'workspace:^')).toEqual([]);
    expect(entryPoints.filter((path) => !existsSync(join(directory, path)))).toEqual([]);
  });

  test('has an example in its README, and a test that runs it', () => {
    expect(readmeExample(directory)).toMatch(new RegExp(`from '${manifest.name}['/]`));
    expect(readFileSync(join(directory, 'test/readme.test.ts'), 'utf8')).toContain('README.md');
  });
});
