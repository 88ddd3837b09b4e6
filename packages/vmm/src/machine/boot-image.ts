import { open } from 'node:fs/promises';
import type { BootImage } from '@tsvmm/arch';
import { type ByteSource, kernelArchitecture } from '@tsvmm/kernel-loader';
import type { Architecture, ResolvedConfiguration } from '../configuration/configuration.ts';
import { VirtualMachineError } from '../errors.ts';
import { hostArchitecture } from './boards.ts';

/** Opens the firmware or the kernel with its initrd, whichever the configuration has. */
export async function openBootImage(
  { bios, kernel, initrd }: ResolvedConfiguration,
  resources: AsyncDisposableStack,
): Promise<BootImage> {
  if (bios !== undefined) return { kind: 'firmware', source: await openImage(bios, resources) };
  if (kernel === undefined) {
    throw new VirtualMachineError('INVALID_STATE', 'the configuration was not validated: it has no kernel');
  }
  return {
    kind: 'kernel',
    source: await openImage(kernel, resources),
    initrd: initrd === undefined ? undefined : await openImage(initrd, resources),
  };
}

/** What the image is for: kernels say so; firmware is taken to be for the host. */
export async function architectureOf(image: BootImage): Promise<Architecture> {
  if (image.kind === 'kernel') return await kernelArchitecture(image.source);
  return hostArchitecture();
}

async function openImage(path: string, resources: AsyncDisposableStack): Promise<ByteSource> {
  const file = resources.use(await open(path, 'r'));
  const { size } = await file.stat();
  return {
    size,
    read: async (offset, into) => (await file.read(into, 0, into.length, offset)).bytesRead,
  };
}
