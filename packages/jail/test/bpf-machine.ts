/** The machine that runs filters, as the kernel's Documentation/networking/filter.rst describes it, for the codes used. */
export function runFilter(program: Uint8Array, data: DataView): number {
  const instructions = new DataView(program.buffer, program.byteOffset, program.byteLength);
  let accumulator = 0;
  for (let index = 0; index * 8 < program.length; index++) {
    const at = index * 8;
    const code = instructions.getUint16(at, true);
    const k = instructions.getUint32(at + 4, true);
    const holds = {
      21: accumulator === k,
      37: accumulator > k,
      53: accumulator >= k,
      69: (accumulator & k) !== 0,
    }[code];
    if (holds !== undefined) index += instructions.getUint8(at + (holds ? 2 : 3));
    else if (code === 0x05) index += k;
    else if (code === 0x20) accumulator = data.getUint32(k, true);
    else if (code === 0x06) return k;
    else throw new Error(`instruction ${index} has the code ${code}`);
  }
  throw new Error('the program has no end');
}

/** `struct seccomp_data` of <linux/seccomp.h>. */
export function seccompData(number: number, architecture: number, values: readonly bigint[]): DataView {
  const data = new DataView(new ArrayBuffer(64));
  data.setUint32(0, number, true);
  data.setUint32(4, architecture, true);
  for (const [index, value] of values.entries()) data.setBigUint64(16 + index * 8, value, true);
  return data;
}
