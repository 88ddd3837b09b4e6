import { BUILT, deprecated, type OptionDefinition } from './definition.ts';

/** What executes the guest's instructions. */
export const HYPERVISOR_OPTIONS: readonly OptionDefinition[] = [
  {
    name: 'hypervisor',
    group: 'Hypervisor',
    value: 'KIND',
    help: "What executes the guest: kvm (the host's CPU), soft (software CPUs, which run everywhere) or auto (the best there is); default auto",
    example: '--hypervisor kvm[device=/dev/kvm]',
    availability: BUILT,
  },
  {
    name: 'kvm-device',
    group: 'Hypervisor',
    value: 'PATH',
    help: "Path of KVM's device",
    availability: deprecated('--hypervisor kvm[device=PATH]'),
  },
];
