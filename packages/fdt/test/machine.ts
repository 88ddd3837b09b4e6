import { DeviceTree } from '../src/index.ts';

/** A devicetree like that of a small riscv64 board: everything dtc has checks for. */
export function machine(): DeviceTree {
  const tree = new DeviceTree();
  const { root } = tree;
  root.string('compatible', 'example,board', 'riscv-virtio').string('model', 'an "example"');
  root.u32('#address-cells', 2).u32('#size-cells', 2);

  const cpus = root
    .node('cpus')
    .u32('#address-cells', 1)
    .u32('#size-cells', 0)
    .u32('timebase-frequency', 1e7);
  const cpu = cpus.node('cpu@0').string('device_type', 'cpu').u32('reg', 0).string('compatible', 'riscv');
  const intc = cpu
    .node('interrupt-controller')
    .u32('#address-cells', 0)
    .u32('#interrupt-cells', 1)
    .empty('interrupt-controller')
    .string('compatible', 'riscv,cpu-intc');

  root
    .node('memory@80000000')
    .string('device_type', 'memory')
    .u64('reg', 0x8000_0000, 2n ** 40n);

  const soc = root.node('soc').string('compatible', 'simple-bus').empty('ranges');
  soc.u32('#address-cells', 2).u32('#size-cells', 2);
  const plic = soc
    .node('interrupt-controller@c000000')
    .string('compatible', 'sifive,plic-1.0.0', 'riscv,plic0')
    .u64('reg', 0x0c00_0000, 0x60_0000)
    .u32('#address-cells', 0)
    .u32('#interrupt-cells', 1)
    .empty('interrupt-controller')
    .cells('interrupts-extended', intc, 11, intc, 9)
    .u32('riscv,ndev', 96);
  const serial = soc
    .node('serial@10000000')
    .string('compatible', 'ns16550a')
    .u64('reg', 0x1000_0000, 0x100)
    .cells('interrupt-parent', plic)
    .u32('interrupts', 10)
    .bytes('example,mac', Uint8Array.of(1, 2, 3, 4, 5, 6));

  root.node('chosen').string('stdout-path', serial.path).string('bootargs', 'console=ttyS0 quiet');
  tree.reservations = [{ address: 0x8000_0000, size: 0x1000n }];
  return tree;
}
