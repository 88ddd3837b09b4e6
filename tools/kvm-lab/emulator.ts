import { join } from 'node:path';
import { fetchTree, guestArchitecture } from '../../packages/guest-image/src/index.ts';
import { LabError } from './errors.ts';
import { describeProgress, type PrepareOptions } from './platform.ts';

/** The release whose QEMU emulates Arm's EL2 and RISC-V's H extension with its interrupt files well. */
const SUITE = 'trixie';
const PACKAGES = ['qemu-system-arm', 'qemu-system-riscv', 'opensbi'];

/** Where the dynamic loader and the libraries of a tree are, by Node's name of this machine. */
const LAYOUTS: Readonly<Partial<Record<NodeJS.Architecture, { loader: string; libraries: string }>>> = {
  x64: { loader: 'lib64/ld-linux-x86-64.so.2', libraries: 'usr/lib/x86_64-linux-gnu' },
  arm64: { loader: 'lib/ld-linux-aarch64.so.1', libraries: 'usr/lib/aarch64-linux-gnu' },
};

/** A QEMU newer than this machine's, which stays as it is: the programs run with the libraries they come with. */
export interface PrivateQemu {
  /** The directory that it was unpacked to. */
  readonly directory: string;
  /** The command of a program of it, to be followed by arguments. */
  command(program: string): readonly [string, ...string[]];
}

/** @throws {LabError} NOT_SET_UP where Debian has no such QEMU */
export async function privateQemu(options: PrepareOptions): Promise<PrivateQemu> {
  const layout = LAYOUTS[process.arch];
  if (layout === undefined) {
    throw new LabError('NOT_SET_UP', `The lab needs QEMU from Debian, which has none for ${process.arch}.`);
  }
  const directory = await fetchTree({
    architecture: guestArchitecture(process.arch),
    suite: SUITE,
    packages: PACKAGES,
    directory: join(options.directory, 'qemu'),
    signal: options.signal,
    onProgress: describeProgress('QEMU', options.onProgress),
  });
  const libraries = join(directory, layout.libraries);
  const loader = join(directory, layout.loader);
  return {
    directory,
    command: (program) => [
      loader,
      ...['--library-path', `${libraries}:${libraries}/pulseaudio`, '--argv0', program],
      ...[join(directory, 'usr/bin', program), '-L', join(directory, 'usr/share/qemu')],
    ],
  };
}
