/**
 * Makes one file of each program or thread of a package, and of all that it imports: `node ../../tools/bundle.ts MODULE…` in
 * the package's directory writes `dist/MODULE.bundle.js` for `dist/MODULE.js`. Node then has one module to find and link, not
 * hundreds. What is imported dynamically becomes a file beside it, which is loaded when it is needed.
 */
import { existsSync, globSync, rmSync } from 'node:fs';
import { basename, dirname, isAbsolute, join, relative, resolve } from 'node:path';
import { build, type Plugin } from 'rolldown';
import { type Manifest, readManifest } from './workspace.ts';

const modules = process.argv.slice(2);
if (modules.length === 0) throw new Error('say which modules are to be bundled');
for (const module of modules) {
  const name = basename(module);
  const directory = resolve('dist', dirname(module));
  for (const old of globSync(`${name}.*bundle.js`, { cwd: directory })) rmSync(join(directory, old));
  await build({
    input: { [name]: join(directory, `${name}.js`) },
    platform: 'node',
    // No module of ours does anything by being imported.
    treeshake: { moduleSideEffects: false },
    plugins: [keepUrls(directory)],
    output: {
      dir: directory,
      format: 'esm',
      comments: false,
      entryFileNames: '[name].bundle.js',
      chunkFileNames: `${name}.[name].bundle.js`,
    },
    logLevel: 'warn',
  });
}

/**
 * Modules find add-ons, policies and the bodies of threads beside themselves. In a bundle they are somewhere else: there
 * `import.meta.url` becomes the URL that the module has in its package, which the bundle's package depends on.
 */
function keepUrls(bundles: string): Plugin {
  return {
    name: 'keep-urls',
    transform(code, id) {
      // The bundler's own modules have no file.
      if (!isAbsolute(id) || !code.includes('import.meta.url')) return undefined;
      const { directory, manifest } = ownerOf(dirname(id));
      const main = manifest.exports?.['.']?.default;
      if (main === undefined) throw new Error(`${manifest.name} has no main module to resolve`);
      const isOurs = directory === process.cwd();
      const path = relative(isOurs ? bundles : dirname(join(directory, main)), id);
      const base = isOurs ? 'import.meta.url' : `import.meta.resolve('${manifest.name}')`;
      return { code: code.replaceAll('import.meta.url', `new URL('${path}', ${base}).href`) };
    },
  };
}

/** The package that a directory belongs to. */
function ownerOf(directory: string): { readonly directory: string; readonly manifest: Manifest } {
  return existsSync(join(directory, 'package.json'))
    ? { directory, manifest: readManifest(directory) }
    : ownerOf(dirname(directory));
}
