import type { FdtNode } from '@tsvmm/fdt';

/** RAM: Devicetree Specification v0.4, section 3.4. @param size bytes */
export function addMemory(root: FdtNode, address: number, size: number): FdtNode {
  return root
    .node(`memory@${address.toString(16)}`)
    .string('device_type', 'memory')
    .u64('reg', address, size);
}
