import type { VcpuStop } from '../../vcpu.ts';
import type { ArchitectureExits } from '../architecture.ts';
import { Exit } from '../run-page.ts';

/** The exits of x86_64 other than accesses. */
export class X86Exits implements ArchitectureExits {
  handle(reason: number): VcpuStop | 'resume' | undefined {
    switch (reason) {
      case Exit.shutdown:
        return { reason: 'shutdown', detail: 'triple fault' };
      case Exit.irqWindowOpen:
        return 'resume';
      default:
        return undefined;
    }
  }
}
