import { createHash } from 'node:crypto';
import { mkdir, readFile, rename, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { buildInitramfs, type Guest } from '../../packages/guest-image/src/index.ts';
import type { LabPlatform } from './platform.ts';

/** What L1 needs to find its root and its host, then what it shall offer: a disk in memory, for benchmarks. */
const MODULES = ['virtio_pci', '9pnet_virtio', '9p', 'overlay', 'virtio_console', 'virtio_rng', 'brd'];

/** What the names of the initramfs files begin with; the last thing a lab needs. */
export const INITRAMFS_PREFIX = 'initramfs-';

/** The modules of a platform, in the order of loading. */
export function labModules(platform: LabPlatform): readonly string[] {
  return [...MODULES, ...platform.kvmModules];
}

/** Packs L1's initramfs, or finds the one made of the same kernel, drivers and scripts. */
export async function packInitramfs(
  directory: string,
  platform: LabPlatform,
  kernel: Guest,
  signal?: AbortSignal,
): Promise<string> {
  const script = (name: string) => readFile(new URL(`guest/${name}`, import.meta.url));
  const [init, serve] = await Promise.all([script('init'), script('serve')]);
  const hash = createHash('sha256').update(init).update(serve).update(labModules(platform).join());
  const name = `${INITRAMFS_PREFIX}${kernel.kernelVersion}-${hash.digest('hex').slice(0, 12)}.cpio`;
  const path = join(directory, name);
  if (await stat(path).catch(() => undefined)) return path;

  const archive = await buildInitramfs({
    busybox: kernel.busybox,
    init,
    hostname: 'lab',
    modulesDirectory: kernel.modules,
    modules: labModules(platform),
    files: [{ path: '/bin/serve', data: serve }],
    signal,
  });
  await mkdir(directory, { recursive: true });
  const unfinished = `${path}.${process.pid}`;
  await writeFile(unfinished, archive);
  await rename(unfinished, path);
  return path;
}
