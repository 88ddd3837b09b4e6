import { readFileSync, statSync } from 'node:fs';

/** Where KVM's device is unless the user says otherwise. */
export const DEFAULT_DEVICE = '/dev/kvm';

/** What the host tells of itself, as far as KVM depends on it. */
export interface HostFacts {
  readonly architecture: NodeJS.Architecture;
  /** The text of /proc/cpuinfo. */
  readonly cpuinfo: string;
}

export function hostFacts(): HostFacts {
  return { architecture: process.arch, cpuinfo: textOf('/proc/cpuinfo') };
}

function cpuHas(facts: HostFacts, flag: string): boolean {
  return new RegExp(`^flags\\s*:.*\\b${flag}\\b`, 'm').test(facts.cpuinfo);
}

/**
 * Whether KVM runs guest code on the CPU itself. On x86 there are hosts whose /dev/kvm works without: they emulate guests
 * one instruction after the other. Elsewhere KVM only offers its device when the CPU can do it.
 */
export function hasHardwareVirtualization(facts: HostFacts): boolean {
  return facts.architecture !== 'x64' || cpuHas(facts, 'svm') || cpuHas(facts, 'vmx');
}

/** What is missing when the device cannot be opened, and what to do. `errno` is the name of open's error. */
export function explainOpenFailure(errno: string, device: string, facts: HostFacts): string {
  switch (errno) {
    case 'EACCES':
    case 'EPERM':
      return `this user may not use ${device}: ${permissionRemedy(device)}`;
    case 'ENOENT':
    case 'ENODEV':
    case 'ENXIO':
      return `there is no ${device}: ${missingDeviceRemedy(facts)}`;
    case 'EBUSY':
      return `${device} is in use by another hypervisor: stop that one first`;
    default:
      return `${device} cannot be used (${errno}): give the path of KVM's device`;
  }
}

function missingDeviceRemedy(facts: HostFacts): string {
  if (facts.architecture !== 'x64') {
    return 'the kernel has no KVM, or was not started at the privilege that KVM needs (EL2 on aarch64, H on riscv64)';
  }
  if (hasHardwareVirtualization(facts)) {
    const module = cpuHas(facts, 'svm') ? 'kvm_amd' : 'kvm_intel';
    return `the kernel module is not loaded; load it with 'sudo modprobe ${module}'`;
  }
  return cpuHas(facts, 'hypervisor')
    ? 'this host is a virtual machine without nested virtualization (its CPU has neither svm nor vmx); enable that in ' +
        'the hypervisor it runs on'
    : 'the CPU offers neither svm nor vmx; enable virtualization in the firmware settings';
}

function permissionRemedy(device: string): string {
  const group = groupOf(device);
  return group === undefined
    ? 'change its permissions, or run as a user who has them'
    : `join its group with 'sudo usermod -aG ${group} "$USER"' and log in again`;
}

/** The name of the group that a file belongs to, unless that is root's. */
function groupOf(path: string): string | undefined {
  try {
    const { gid } = statSync(path);
    const line = textOf('/etc/group')
      .split('\n')
      .find((entry) => entry.split(':')[2] === String(gid));
    return gid === 0 ? undefined : line?.split(':')[0];
  } catch {
    return undefined;
  }
}

function textOf(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
